"""`s2bnn_runtime` in place of Larq Compute Engine: equal numbers, and reports that name it."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

from s2bnn_tf.backbones import Encoder, build_backbone
from s2bnn_tf.cli import main
from s2bnn_tf.errors import DeviceError
from s2bnn_tf.export import benchmark, convert
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.tflite import interpreter
from s2bnn_tf.tflite.encoder import TFLiteEncoder
from s2bnn_tf.tflite.flatbuffer import FlatbufferError
from s2bnn_tf.tflite.graph import TFLiteGraph

pytestmark = pytest.mark.both_sets

keras = tf.keras
RUNTIME = Path(__file__).resolve().parents[2] / "runtime"


def is_usable() -> bool:
    try:
        import s2bnn_runtime

        return s2bnn_runtime.library_path().is_file()
    except (ImportError, ValueError):  # not installed, or its library is not built
        return False


needs_s2bnn = pytest.mark.skipif(not is_usable(), reason="s2bnn_runtime is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(32, 3, padding="same")(image)
    x = keras.layers.BatchNormalization()(BinaryConv2D(32, 3)(x)) + x
    encoder = Encoder(keras.Model(image, keras.layers.GlobalAveragePooling2D()(x)), None)
    path = tmp_path_factory.mktemp("models") / "model.tflite"
    path.write_bytes(convert(encoder, image_size=8))
    return path


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)


@needs_s2bnn
def test_both_give_the_same_features(model, images):
    ours, lce = TFLiteEncoder(model, "s2bnn"), TFLiteEncoder(model, "lce")
    assert (ours.runtime, lce.runtime) == ("s2bnn", "lce")
    for batch in (images, images[:3], images[:1], images[:0]):
        np.testing.assert_allclose(ours.features(batch), lce.features(batch), rtol=1e-5, atol=1e-4)


@needs_s2bnn
@pytest.mark.parametrize("name", ["s2bnn", "lce"])
def test_several_threads_share_an_encoder(model, images, name):
    encoder = TFLiteEncoder(model, name)
    wanted = [encoder.features(images[i : i + 1 + i % 2]) for i in range(6)]

    def features(i: int) -> list[np.ndarray]:
        return [encoder.features(images[i : i + 1 + i % 2]) for _ in range(10)]

    with ThreadPoolExecutor(6) as pool:
        for results, expected in zip(pool.map(features, range(6)), wanted):
            for result in results:
                np.testing.assert_array_equal(result, expected)


@needs_s2bnn
@pytest.mark.parametrize("name", ["s2bnn", "lce"])
def test_benchmark_says_which(model, name):
    result = benchmark(model, runs=2, warmup=1, runtime=name)
    assert result["runtime"] == name
    assert result["engine"] == interpreter.RUNTIMES[name]
    assert result["kernel"] != "reference" and result["latency_ms"]["median"] > 0


@needs_s2bnn
def test_default_is_the_one_installed(model):
    assert TFLiteEncoder(model).runtime == "s2bnn"


@needs_s2bnn
@pytest.mark.parametrize("arguments, said", [((), "s2bnn"), (("--runtime", "lce"), "lce")])
def test_embed_says_which(model, tmp_path, arguments, said):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "black.png")
    command = [
        "embed",
        str(model),
        str(tmp_path / "black.png"),
        "--output",
        str(tmp_path / "a.npz"),
    ]
    in_words = CliRunner().invoke(main, [*command, *arguments])
    assert f"run by: {interpreter.RUNTIMES[said]}" in in_words.stdout, in_words.output
    as_json = CliRunner().invoke(main, [*command, *arguments, "--json"])
    assert json.loads(as_json.stdout.splitlines()[-1])["runtime"] == said


def test_without_it(monkeypatch):
    monkeypatch.setattr(interpreter, "find_spec", lambda name: None)
    assert interpreter.choose_runtime() == "lce"
    assert interpreter.choose_runtime("lce") == "lce"
    with pytest.raises(DeviceError, match="s2bnn_runtime is not installed"):
        interpreter.choose_runtime("s2bnn")


def test_a_runtime_that_cannot_be_loaded(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "s2bnn_runtime", None)
    monkeypatch.setattr(interpreter, "find_spec", lambda name: True)
    with pytest.raises(DeviceError, match="s2bnn_runtime cannot be loaded .*; install it again"):
        TFLiteEncoder(model, "s2bnn")


@needs_s2bnn
def test_a_rotated_image_goes_through_normalization_and_stem_in_one_partition():
    """As after `s2bnn import-torch`: the host rotates the image, the delegate does the rest."""
    from s2bnn_runtime import Interpreter, find_host
    from s2bnn_runtime.delegate import read_profile

    backbone = build_backbone("reactnet", (32, 32, 3), stem="small", width=0.25, reverse_input=True)
    file = convert(Encoder(backbone), image_size=32)
    names = [operation.name for operation in TFLiteGraph(file).operations]
    assert names[:5] == ["REVERSE_V2", "REVERSE_V2", "MUL", "ADD", "CONV_2D"]
    interpreter = Interpreter(file, host=find_host("tensorflow"), profile="turned")
    interpreter.predict(np.zeros((1, 32, 32, 3), np.float32))
    (steps,) = read_profile("turned")
    assert steps[0]["name"].startswith("LOAD+SCALE+BIAS")
    assert steps[1]["name"].startswith("CONV_2D")


@needs_s2bnn
@pytest.mark.parametrize("structure", [False, True], ids=["bytes", "structure"])
def test_both_readers_agree_on_mutants(structure, monkeypatch):
    """What our reader accepts, the runtime's accepts: nothing that a host crashes on remains."""
    from s2bnn_runtime.delegate import check_model

    monkeypatch.syspath_prepend(RUNTIME / "tools")
    from mutate import Mutator

    seeds = sorted((RUNTIME / "tests" / "cpp" / "corpus" / "model").iterdir())
    mutant, refused = Mutator([path.read_bytes() for path in seeds], structure, seed=1), 0
    for i in range(700):
        data = mutant(i)
        try:
            TFLiteGraph(data)
        except FlatbufferError:
            refused += 1
        else:
            check_model(data)
    assert 200 < refused < 600
