"""What is measured is there and consistent; how fast it is depends on the machine."""

import json

import pytest

from s2bnn_tf.errors import UserError
from s2bnn_tf.export import benchmark, describe_benchmark


@pytest.fixture(scope="module")
def model_file(small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small.tflite"
    path.write_bytes(small_model)
    return path


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def result(model_file, told):
    return benchmark(
        model_file,
        threads=2,
        runs=7,
        warmup=2,
        runtime="lce",  # s2bnn_runtime may find only TensorFlow as its host, which takes memory
        progress=lambda *call: told.append(call),
    )


def test_latency(result):
    latency = result["latency_ms"]
    assert 0 < latency["min"] <= latency["median"] <= latency["p90"] <= latency["max"]
    assert 0 <= latency["spread"] <= latency["max"] - latency["min"]
    assert (result["threads"], result["runs"], result["warmup"]) == (2, 7, 2)


def test_memory_is_the_models_own(result, model_file):
    """Of a process without TensorFlow, which alone takes hundreds of megabytes."""
    memory = result["memory"]
    assert model_file.stat().st_size / 2 < memory["model_bytes"] < memory["process_peak_bytes"]
    assert memory["process_peak_bytes"] < 120 * 2**20


def test_operations(result):
    assert result["operations"] == {"binary_macs": 34_603_008, "float_macs": 221_184}
    table = result["operation_table"]
    assert table[0]["name"] == "LceBconv2d"
    assert sum(row["count"] for row in table) == 143


def test_progress(result, told):
    assert told == [("small.tflite", done, 7) for done in range(1, 8)]


def test_json_and_text(result, model_file):
    assert json.loads(json.dumps(result)) == result
    text = describe_benchmark(result)
    assert "small.tflite" in text
    assert "34,603,008" in text
    assert f"median {result['latency_ms']['median']:.2f} ms" in text
    assert text.splitlines()[-1].split()[:2] == ["total", "143"]


def test_not_a_model(tmp_path):
    path = tmp_path / "a.tflite"
    path.write_text("hello, this is no model")
    with pytest.raises(UserError, match="not a whole TensorFlow Lite model"):
        benchmark(path)
