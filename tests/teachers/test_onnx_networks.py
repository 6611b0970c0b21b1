"""Teachers in ONNX files: what PyTorch computes, whatever the batch, or one sentence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from onnx_writer import INT64, UINT8, means, model, node, tensor, value

from s2bnn_tf.backbones import register_backbone
from s2bnn_tf.config import Config, DataConfig, MonitorConfig, StudentConfig, TeacherConfig
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.teachers import load_teacher, teacher_failures
from s2bnn_tf.teachers.onnx_networks import OnnxNetwork, Request, open_onnx
from s2bnn_tf.training import count_step_memory, pretrain

pytest.importorskip("onnxruntime")

keras = tf.keras

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FOLDER = GOLDEN / "onnx"
SIZE = 32


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "onnx.npz") as file:
        return dict(file)


def take(network: OnnxNetwork, pixels: np.ndarray) -> np.ndarray:
    """Features of pixels 0-255, normalized as the network says."""
    mean, std = (np.float32(v) for v in (network.statistics.mean, network.statistics.std))
    return network((pixels / np.float32(255) - mean) / std)


@pytest.mark.parametrize(
    ("name", "wanted", "output"),
    [
        ("unusual", "unusual", "embedding"),
        ("vit", "vit_vector", "embedding"),
        ("vit", "vit_vector", "vector"),
        ("vit_batch_of_2", "vit_vector", "embedding"),
        ("plain", "plain", "embedding"),
        ("plain", "plain", "map"),
        ("batch_of_4", "plain", "features"),
        ("external", "plain", "embedding"),
        ("of_unit", "plain", "embedding"),
        ("of_bytes", "plain", "embedding"),
    ],
)
def test_features_are_those_of_pytorch(name, wanted, output, golden):
    """With what the file says of its input, and six pictures in batches of whatever it takes."""
    network = OnnxNetwork(FOLDER / f"{name}.onnx", Request(output))
    assert (network.image_size, network.channels, network.alone) == (SIZE, 3, False)
    found = take(network, golden["pixels"])
    np.testing.assert_allclose(found, golden[wanted], atol=2e-6)
    np.testing.assert_allclose(take(network, golden["pixels"][:1]), golden[wanted][:1], atol=2e-6)


def test_tokens_are_chosen_by_the_output(golden):
    tokens = golden["vit_tokens"]
    first, rest = tokens[:, 0], tokens[:, 1:].mean(axis=1)
    wanted = {"class_token": first, "patches": rest, "tokens": first}
    wanted["class_and_patches"] = np.concatenate([first, rest], axis=1)
    for output, features in wanted.items():
        network = OnnxNetwork(FOLDER / "vit.onnx", Request(output))
        np.testing.assert_allclose(take(network, golden["pixels"]), features, atol=2e-6)


@pytest.mark.parametrize("name", ["int8_dynamic", "int8_static"])
def test_a_row_of_an_int8_network_does_not_depend_on_its_batch(name, golden):
    network = OnnxNetwork(FOLDER / f"{name}.onnx", Request())
    assert network.alone == (name == "int8_dynamic")
    pixels = golden["pixels"].copy()
    pixels[1] //= 8  # a dark picture, whose range would be lost among bright ones
    together = take(network, pixels)
    alone = np.concatenate([take(network, pixels[i : i + 1]) for i in range(len(pixels))])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    reference = OnnxNetwork(FOLDER / "plain.onnx", Request())
    wanted = take(reference, pixels)
    cosines = (together * wanted).sum(1) / (
        np.linalg.norm(together, axis=1) * np.linalg.norm(wanted, axis=1)
    )
    assert cosines.min() > 0.97


@pytest.mark.parametrize("batch", ["n", 3])
def test_a_network_that_mixes_its_batch_gets_one_picture_at_a_time(tmp_path, batch):
    """Also where its batch is fixed: that then holds one picture several times."""
    mixed = node("ReduceMean", "image", "all", axes=[0], keepdims=1)
    path = means(
        *(tmp_path / "x.onnx", mixed, node("Add", "image all", "sum")),
        last="sum",
        image=(batch, 3, 8, 8),
    )
    network = OnnxNetwork(path, Request())
    assert network.alone
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(network(images), 2 * images.mean(axis=(1, 2)), atol=1e-6)


def test_a_teacher_sees_our_images_as_the_network_wants_them(golden):
    """From images normalized in our way, in a graph, with the mean and std of the recipe."""
    images = normalize(tf.constant(golden["pixels"]))
    path = str(FOLDER / "plain.onnx")
    teacher = load_teacher(TeacherConfig(weights=path), image_size=SIZE)
    wanted = golden["plain"] / np.linalg.norm(golden["plain"], axis=1, keepdims=True)
    computed = tf.function(lambda batch: teacher(batch, training=False))(images)
    np.testing.assert_allclose(computed, wanted, atol=1e-5)
    assert (teacher.embedding_dim, teacher.trainable_variables) == (10, [])

    own = TeacherConfig(weights=path, mean=(0.5,), std=(0.1, 0.2, 0.4))
    found = load_teacher(own, image_size=SIZE).backbone(images)
    x = (golden["pixels"] / np.float32(255) - 0.5) / np.float32([0.1, 0.2, 0.4])
    np.testing.assert_allclose(found, open_onnx(path)(x), atol=1e-5)


def test_a_file_without_a_size_sees_224_pixels_or_those_of_the_recipe(tmp_path):
    path = means(tmp_path / "x.onnx")
    for asked, size in ((None, 224), (48, 48)):
        assert OnnxNetwork(path, Request(size=asked)).image_size == size
    teacher = load_teacher(TeacherConfig(weights=str(path), image_size=48), image_size=SIZE)
    assert teacher.backbone.input_shape == (None, SIZE, SIZE, 3)
    with pytest.raises(ConfigError, match="takes images of 32x32 pixels alone, not 48x48"):
        OnnxNetwork(FOLDER / "plain.onnx", Request(size=48))


def test_the_layout_is_found_where_the_file_does_not_say(tmp_path):
    """A network of names alone for sizes: whichever layout it can compute."""
    weights = tensor("w", np.random.default_rng(0).normal(size=(3, 3, 1, 1)))
    conv = node("Conv", "x w", "y")
    channels_last = node("Transpose", "image", "x", perm=[0, 3, 1, 2])
    options = {"last": "y", "image": ("a", "b", "c", "d"), "tensors": [weights]}
    last = OnnxNetwork(means(tmp_path / "a.onnx", channels_last, conv, **options), Request())
    first = OnnxNetwork(
        means(tmp_path / "b.onnx", node("Identity", "image", "x"), conv, **options), Request()
    )
    images = np.random.default_rng(1).normal(size=(2, 224, 224, 3)).astype(np.float32)
    np.testing.assert_allclose(last(images), first(images), atol=1e-6)


def test_gray_and_bytes_and_blue_first(tmp_path):
    gray = means(tmp_path / "gray.onnx", image=("n", 1, 8, 8))
    assert OnnxNetwork(gray, Request()).channels == 1
    to_float = node("Cast", "image", "x", to=1)
    path = means(tmp_path / "bytes.onnx", to_float, last="x", kind=UINT8, image=("n", 3, 8, 8))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3))
    np.testing.assert_allclose(
        take(OnnxNetwork(path, Request()), pixels), pixels.mean((1, 2)), rtol=1e-6
    )
    told = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}
    blue = means(tmp_path / "bgr.onnx", image=("n", 3, 8, 8), metadata=told)
    teacher = load_teacher(TeacherConfig(weights=str(blue)), image_size=8)
    found = teacher.backbone(normalize(tf.constant(pixels)))
    np.testing.assert_allclose(found, pixels.mean((1, 2))[:, ::-1], rtol=1e-4)


@pytest.mark.parametrize(
    ("operations", "mean", "std"),
    [
        ([("Sub", [0.4, 0.5, 0.6]), ("Div", [0.2])], 0.0, 1.0),
        ([("Mul", [2.0]), ("Sub", [1.0])], 0.0, 1.0),
        ([("Sub", [120.0, 110.0, 100.0])], 0.0, 1 / 255),
        ([("Mul", [1 / 255]), ("Sub", [0.5, 0.5, 0.4]), ("Div", [0.2, 0.3, 0.2])], 0.0, 1 / 255),
        ([("Mul", [255.0]), ("Sub", [120.0]), ("Div", [60.0])], 0.0, 1.0),
    ],
)
def test_what_the_first_operations_say_about_the_pixels(tmp_path, operations, mean, std):
    nodes, tensors, last = [], [], "image"
    for i, (kind, values) in enumerate(operations):
        nodes.append(node(kind, f"{last} c{i}", f"x{i}"))
        tensors.append(tensor(f"c{i}", np.reshape(values, (-1, 1, 1))))
        last = f"x{i}"
    path = means(tmp_path / "x.onnx", *nodes, last=last, tensors=tensors, image=("n", 3, 8, 8))
    found = OnnxNetwork(path, Request()).statistics
    assert (found.mean, found.std, found.source) == ((mean,), (std,), "file")
    own = OnnxNetwork(path, Request(mean=(0.5,), std=(0.25,))).statistics
    assert (own.mean, own.std, own.source) == ((0.5,), (0.25,), "recipe")


def test_batch_normalization_of_the_pixels_tells_their_range(tmp_path):
    rows = {"g": [1.0] * 3, "b": [0.0] * 3, "m": [120.0] * 3, "v": [3600.0] * 3}
    first = node("BatchNormalization", "image g b m v", "x", epsilon=1e-3)
    tensors = [tensor(name, values) for name, values in rows.items()]
    path = means(tmp_path / "x.onnx", first, last="x", tensors=tensors, image=("n", 3, 8, 8))
    assert OnnxNetwork(path, Request()).statistics.std == (1 / 255,)


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_a_view_of_another_aspect_is_cropped_or_squashed(tmp_path, resize):
    """Of a view with a red left and a blue right third, the center of a crop is green."""
    path = means(tmp_path / "x.onnx", image=("n", 3, 16, 16))
    view = np.zeros((1, 16, 48, 3), np.float32)
    for third in range(3):
        view[:, :, 16 * third : 16 * (third + 1), third] = 1
    config = TeacherConfig(weights=str(path), resize=resize, mean=(0.0,), std=(1.0,))
    teacher = load_teacher(config, image_size=(16, 48))
    found = teacher.backbone(normalize(tf.constant(255 * view)))
    wanted = [0, 1, 0] if resize == "crop" else [1 / 3, 1 / 3, 1 / 3]
    np.testing.assert_allclose(found, [wanted], atol=0.03)


def test_weights_beside_the_file_are_found_from_another_directory(tmp_path, monkeypatch, golden):
    for name in ("external.onnx", "external.weights"):
        shutil.copy(FOLDER / name, tmp_path / name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    network = OnnxNetwork(Path("../external.onnx"), Request())
    np.testing.assert_allclose(take(network, golden["pixels"]), golden["plain"], atol=1e-6)


@pytest.mark.parametrize("inside", ["graph", "node", "subgraph", "sparse"])
@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("../secret", "leads out of its folder"),
        ("sub/../../secret", "leads out of its folder"),
        ("{folder}/secret", "leads out of its folder"),
        ("*/_ORT_MEM_ADDR_/*", "leads out of its folder"),
        ("", "leads out of its folder"),
        ("link", "a symbolic link, which is not followed"),
        ("linked/secret", "a symbolic link, which is not followed"),
        ("absent", "it does not exist; put that file beside it"),
        ("pipe", "it is not a regular file"),
        ("sub", "it is a folder"),
    ],
)
def test_weights_elsewhere_are_refused(tmp_path, location, reason, inside):
    """Wherever in the file a tensor may be."""
    place = tmp_path / "model"
    (place / "sub").mkdir(parents=True)
    np.ones(3, np.float32).tofile(tmp_path / "secret")
    (place / "link").symlink_to("../secret")
    (place / "linked").symlink_to("..")
    os.mkfifo(place / "pipe")
    location = location.format(folder=tmp_path)
    values = tensor("w", np.ones((3, 1, 1)), location=location)
    options: dict = {"tensors": [values]}
    nodes = [node("Mul", "image w", "x")]
    if inside == "node":
        options, nodes = {}, [node("Constant", "", "w", value=values), *nodes]
    path = means(place / "x.onnx", *nodes, last="x", image=("n", 3, 8, 8), **options)
    if inside in ("subgraph", "sparse"):
        path.write_bytes(means(path, image=("n", 3, 8, 8)).read_bytes())
        from onnx_writer import part

        hidden = part(7, part(15, part(1, values)))
        if inside == "subgraph":  # a graph in an attribute of a node
            hidden = part(7, part(1, part(4, "If") + part(5, part(6, part(5, values)))))
        path.write_bytes(path.read_bytes() + hidden)
    with pytest.raises(ModelError, match=reason):
        OnnxNetwork(path, Request())


IMAGE_8 = value("image", ("n", 3, 8, 8))
MEAN = node("ReduceMean", "image", "y", axes=[2, 3], keepdims=0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            model(
                [node("Add", "a b", "y")],
                [value("a", ("n", 3, 8, 8)), value("b", ("n", 3, 8, 8))],
                [value("y", ("n", 3, 8, 8))],
            ),
            r"has 2 inputs \(a, b\); export the part that takes one picture",
        ),
        (
            model([node("Identity", "t", "y")], [value("t", ("n", 5), INT64)], []),
            "and no picture",
        ),
        (model([MEAN], [value("image", ("n", 5, 8, 8))], []), "with neither 3 nor 1 channels"),
        (
            model(
                [MEAN, node("Sub", "y y", "zero"), node("Div", "zero zero", "nan")],
                [IMAGE_8],
                [value("nan", ("n", 3))],
            ),
            "returns features that are not finite; check teacher.mean and teacher.std",
        ),
        (
            model(
                [MEAN, node("Concat", "y y", "two", axis=0)],
                [IMAGE_8],
                [value("two", ("m", 3))],
            ),
            r"returns float32 \(2, 3\) for 1 images; expected one row",
        ),
        (
            model(
                [node("Reshape", "image s", "y")],
                [IMAGE_8],
                [value("y", ("n", 3))],
                [tensor("s", np.array([7, 3]))],
            ),
            "fails with images",
        ),
        (
            model([node("Own", "image", "y")], [IMAGE_8], [value("y", ("n", 3))]),
            "onnxruntime cannot open .*x.onnx: .*Own",
        ),
        (
            model([MEAN], [value("image", (1_000_000, 3, 8, 8))], [value("y", (1_000_000, 3))]),
            "takes 1000000 images of 8x8 pixels at a time, which is too many",
        ),
        (b"\x08\x01" * 5_000_001, "it has too many parts"),
        (b"not a network", "is not a whole ONNX file"),
        (b"", "is not an ONNX file with a network"),
        (model([MEAN], [IMAGE_8], [value("y", ("n", 3))])[:-20], "is not a whole ONNX file"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "it ends too early"),
    ],
)
def test_a_file_that_is_no_teacher_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises((ModelError, ConfigError), match=sentence) as error:
        load_teacher(TeacherConfig(weights=str(path)), image_size=8)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_outputs_that_are_no_vectors_and_names_that_are_none(tmp_path):
    path = FOLDER / "vit.onnx"
    with pytest.raises(ConfigError, match="have|has tokens with 3 dimensions, vector with 2"):
        OnnxNetwork(path, Request("logits"))
    with pytest.raises(ConfigError, match="has no 'patches' of features"):
        OnnxNetwork(FOLDER / "plain.onnx", Request("patches"))
    with pytest.raises(ModelError, match="Cannot read .*absent.onnx: No such file"):
        open_onnx(tmp_path / "absent.onnx")


def test_a_tensor_that_is_larger_than_the_memory_is_refused(tmp_path):
    """A few bytes that ask for 9.6 GB when the file is opened, or else when it is first run."""
    path = means(
        tmp_path / "x.onnx",
        node("ConstantOfShape", "s", "big"),
        node("ReduceMax", "big", "one", keepdims=0),
        node("Add", "image one", "x"),
        last="x",
        image=("n", 3, 8, 8),
        tensors=[tensor("s", np.array([3, 20_000, 40_000]))],
    )
    with pytest.raises(ModelError, match=r"onnxruntime cannot open|x.onnx fails with images"):
        OnnxNetwork(path, Request())


def test_features_that_are_not_finite_are_one_sentence(tmp_path):
    """Of a picture that the file was not tried with; TensorFlow passes the exception on."""
    path = means(tmp_path / "x.onnx", node("Log", "image", "x"), last="x", image=("n", 3, 8, 8))
    with pytest.raises(ModelError, match="not finite"):
        load_teacher(TeacherConfig(weights=str(path)), image_size=8)
    path = means(tmp_path / "y.onnx", node("Exp", "image", "x"), last="x", image=("n", 3, 8, 8))
    config = TeacherConfig(weights=str(path), mean=(0.0,), std=(1e-3,))
    teacher = load_teacher(config, image_size=8)
    with pytest.raises(ModelError, match="not finite"), teacher_failures():
        teacher(normalize(tf.fill((2, 8, 8, 3), 255.0)))


def small_recipe(path: Path, std: float = 1.0) -> Config:
    return Config(
        steps=2,
        data=DataConfig(source="digits", image_size=8, batch_size=4),
        student=StudentConfig(backbone="one_convolution", embedding_dim=3, head="linear"),
        teacher=TeacherConfig(weights=str(path), mean=(0.0,), std=(std,)),
        monitor=MonitorConfig(knn_every=0),
        loggers=(),
    )


@register_backbone("one_convolution")
def one_convolution(input_shape) -> keras.Model:
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input(input_shape), *layers])


def test_a_student_is_trained_with_an_onnx_teacher(tmp_path):
    path = means(tmp_path / "x.onnx", image=("n", 3, 16, 16))
    run = pretrain(small_recipe(path), tmp_path / "run")
    assert run.weights_path.is_file()

    path = means(tmp_path / "y.onnx", node("Exp", "image", "x"), last="x", image=("n", 3, 8, 8))
    with pytest.raises(ModelError, match="y.onnx returns features that are not finite"):
        pretrain(small_recipe(path, std=1e-3), tmp_path / "other")


def test_the_memory_of_a_step_counts_what_onnxruntime_takes(tmp_path):
    path = means(tmp_path / "x.onnx", image=("n", 3, 16, 16))
    config = small_recipe(path)
    teacher = load_teacher(config.teacher, image_size=8)
    counted = count_step_memory(config, teacher=teacher)
    without = count_step_memory(config)
    assert counted.weights - without.weights >= open_onnx(path).file.size_bytes > 0


def test_damaged_files_open_or_are_refused_in_one_sentence(tmp_path, mutants):
    """Whatever they hold, onnxruntime reads nothing but files beside them."""
    path, opened = tmp_path / "x.onnx", 0
    for data in mutants((FOLDER / "plain.onnx").read_bytes(), 200):
        path.write_bytes(data)
        try:
            OnnxNetwork(path, Request())
            opened += 1
        except (ModelError, ConfigError) as error:
            assert "\n" not in str(error)
    assert 0 < opened < 200
