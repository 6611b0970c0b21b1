"""File and card in place, whole and verified, or nothing."""

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import register_backbone
from s2bnn_tf.config import load_config
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import UserError
from s2bnn_tf.export import ParityError, convert_run, export_encoder
from s2bnn_tf.export.convert import sample_images
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.runs import LinearProbe, RunDirectory, build_encoder, save_encoder
from s2bnn_tf.tflite import TFLiteEncoder

pytestmark = pytest.mark.both_sets

keras = tf.keras

CONFIG = """
data: {source: digits, image_size: 32, center_crop: 1.0, batch_size: 8}
student: {backbone: of_test_deploy, embedding_dim: 16}
objective: {contrastive_weight: 1.0, distillation_weight: 0.0, queue_size: 64}
"""


@register_backbone("of_test_deploy")
def small_backbone(input_shape):
    """Small, so that a run directory is converted in a second."""
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(32, 3, strides=2)(image)
    x = keras.layers.BatchNormalization()(BinaryConv2D(24, 3)(x))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def export(encoder, output, images, **options):
    settings = {"image_size": images.shape[1], "center_crop": 1.0, "source": "digits", **options}
    return export_encoder(encoder, output, images=images, **settings)


@pytest.fixture
def broken(wrap):
    """A network that Larq's default kernel computes wrongly: a 3x3 filter on a 2x2 map."""
    return wrap(lambda x: BinaryConv2D(8, 3, name="tiny")(keras.layers.Conv2D(4, 4, 4)(x)))


def test_card_says_what_the_file_is(wrap, digits, tmp_path):
    encoder = wrap(lambda image: BinaryConv2D(8, 3, strides=2)(image), 32, embedding_dim=16)
    messages = []
    output = tmp_path / "deep" / "student.tflite"
    card = export(encoder, output, digits, head="projection", progress=messages.append)
    data = output.read_bytes()
    assert json.loads((tmp_path / "deep" / "student.json").read_text()) == card
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["size_bytes"] == len(data)
    assert card["input"] == {
        "name": "image",
        "shape": [1, 32, 32, 3],
        "dtype": "float32",
        "range": "RGB 0-255",
    }
    assert card["output"] == {"name": "embedding", "shape": [1, 16], "dtype": "float32"}
    assert (card["head"], card["image_size"], card["center_crop"]) == ("projection", 32, 1.0)
    assert card["labels"] is None
    assert card["source"] == "digits"
    assert card["binary_convolutions"] == 1
    assert card["operations"] == {"binary_macs": 16 * 16 * 8 * 27, "float_macs": 8 * 8 + 8 * 16}
    assert card["parity"]["cosine_min"] > 0.999
    assert 0 < card["float_weights_bytes"] < card["size_bytes"]
    assert len(messages) == 2
    assert sorted(path.name for path in output.parent.iterdir()) == [
        "student.json",
        "student.tflite",
    ]


def test_labels_of_a_linear_head(wrap, noise, tmp_path):
    encoder = wrap(lambda image: BinaryConv2D(16, 3)(image))
    probe = (np.eye(16, 3, dtype=np.float32), np.zeros(3, np.float32), ("ä", "b", "c"))
    output = tmp_path / "classifier.tflite"
    card = export(encoder, output, noise(), head="linear", probe=probe)
    assert card["labels"] == ["ä", "b", "c"]
    opened = TFLiteEncoder(output)
    assert (opened.head, opened.labels) == ("linear", ["ä", "b", "c"])
    expected = encoder.backbone(normalize(noise())).numpy()[:, :3]
    np.testing.assert_allclose(opened.features(noise()), expected, rtol=1e-4, atol=1e-5)


def test_step_1_card_says_all_float(wrap, noise, tmp_path):
    encoder = wrap(lambda image: BinaryConv2D(16, 3, binarize_weights=False)(image))
    card = export(encoder, tmp_path / "a.tflite", noise())
    assert card["binary_convolutions"] == 0
    assert card["operations"]["binary_macs"] == 0


def test_a_mismatch_leaves_nothing(broken, noise, tmp_path):
    with pytest.raises(ParityError, match="'tiny'"):
        export(broken, tmp_path / "a.tflite", noise())
    assert list(tmp_path.iterdir()) == []


def test_a_mismatch_keeps_what_was_there(broken, noise, tmp_path):
    (tmp_path / "a.tflite").write_text("of yesterday")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ParityError):
        export(broken, tmp_path / "a.tflite", noise())
    assert (tmp_path / "a.tflite").read_text() == "of yesterday"
    assert len(list(tmp_path.iterdir())) == 2


def test_names_and_places_that_cannot_be(small_encoder, digits, tmp_path):
    with pytest.raises(UserError, match=r"named \*.tflite, not 'model.json'"):
        export(small_encoder, tmp_path / "model.json", digits)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is in the way; move it, or choose another path"):
        export(small_encoder, tmp_path / "file" / "a.tflite", digits)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config_file = tmp_path_factory.mktemp("config") / "config.yaml"
    config_file.write_text(CONFIG)
    directory = RunDirectory(tmp_path_factory.mktemp("runs") / "student")
    config = load_config(config_file)
    directory.create(config)
    tf.keras.utils.set_random_seed(0)
    save_encoder(build_encoder(config), directory)
    return directory


def test_run_directory(run, tmp_path):
    card = convert_run(run.path, tmp_path / "a.tflite")
    assert card["source"] == "digits"
    assert card["parity"]["images"] == 64
    assert card["binary_convolutions"] == 1


def test_a_run_has_one_file_whatever_the_process_has_built_before(run, tmp_path):
    files = []
    for name in ("a", "b"):
        convert_run(run.path, tmp_path / f"{name}.tflite")
        files.append((tmp_path / f"{name}.tflite").read_bytes())
        build_encoder(run.config)  # another network, with layers that Keras counts
    assert files[0] == files[1]


def test_run_directory_with_its_linear_probe(run, tmp_path):
    output = tmp_path / "a.tflite"
    with pytest.raises(UserError, match="no linear classifier at .*: run `s2bnn eval linear`"):
        convert_run(run.path, output, head="linear")
    run.eval_dir.mkdir()
    probe = run.eval_dir / "linear_probe.npz"
    probe.write_bytes(b"not a zip file")
    with pytest.raises(UserError, match=r"is damaged \(.*\); run `s2bnn eval linear` again"):
        convert_run(run.path, output, head="linear")
    kernel, bias = np.ones((24, 2), np.float32), np.zeros(2, np.float32)
    LinearProbe(kernel, bias, ("even", "odd"), {}, {}).save(probe)
    assert convert_run(run.path, output, head="linear")["labels"] == ["even", "odd"]


def test_sample_images_are_real_and_spread():
    images = sample_images("digits", 32, 1.0, count=5)
    assert images.shape == (5, 32, 32, 3)
    assert images.max() > 200
    assert len(np.unique(images, axis=0)) == 5
