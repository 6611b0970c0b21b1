"""Files of features: what each format holds, and one sentence for everything else."""

from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pytest

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.files import save_arrays
from s2bnn_tf.teachers import is_feature_file, read_features

ROWS = 6


def save_file(arrays, path, metadata=None):
    """Write a `.safetensors` file; the package comes with PyTorch."""
    pytest.importorskip("safetensors.numpy").save_file(arrays, path, metadata)


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "features": rng.normal(size=(ROWS, 5)).astype(np.float32),
        "embeddings": rng.normal(size=(ROWS, 3)).astype(np.float32),
        "paths": np.array([f"pets/{i // 2}.jpg" for i in range(ROWS)]),
        "boxes": np.tile(np.float32([0.1, 0.2, 0.5, 0.6]), (ROWS, 1)),
        "flips": np.arange(ROWS) % 2 == 0,
    }


def write(path, content: dict[str, np.ndarray]) -> None:
    if path.suffix == ".npz":
        save_arrays(path, content)
    elif path.suffix == ".safetensors":
        texts = {k: json.dumps(v.tolist()) for k, v in content.items() if v.dtype.kind == "U"}
        save_file({k: v for k, v in content.items() if k not in texts}, path, texts)
    else:
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = {name: pa.array(values.tolist()) for name, values in content.items()}
        parquet.write_table(pa.table(columns), path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".parquet"])
def test_every_format_holds_the_same(suffix, tmp_path):
    path, content = tmp_path / f"features{suffix}", arrays()
    write(path, content)
    assert is_feature_file(str(path))
    for output, name in (("embedding", "embeddings"), ("features", "features")):
        rows = read_features(path, output)
        np.testing.assert_allclose(rows.features, content[name], rtol=1e-6)
    assert rows.paths == content["paths"].tolist() and rows.sha256 is None
    np.testing.assert_allclose(rows.boxes, content["boxes"])
    np.testing.assert_array_equal(rows.flips, content["flips"])


def test_features_serve_where_there_are_no_embeddings(tmp_path):
    content = {"features": arrays()["features"]}
    write(tmp_path / "f.npz", content)
    rows = read_features(tmp_path / "f.npz", "embedding")
    np.testing.assert_array_equal(rows.features, content["features"])
    assert (rows.paths, rows.boxes, rows.flips) == (None, None, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": None, "embeddings": None}, "neither features nor embeddings"),
        ({"features": np.ones((ROWS, 5, 1), np.float32)}, "features has 3 dimensions, not 2"),
        ({"features": np.full((ROWS, 5), np.nan, np.float32)}, "a number that is not finite"),
        ({"features": np.array([["a"] * 5] * ROWS)}, "features holds text, not floats"),
        ({"features": np.ones((ROWS, 5), np.int64)}, "features holds 64-bit integers, not floats"),
        ({"features": np.ones((ROWS - 1, 5), np.float32)}, "has the shape"),
        ({"features": np.ones((0, 5), np.float32), "paths": None}, "has the shape|no rows"),
        ({"boxes": np.tile(np.float32([0.6, 0, 0.5, 1]), (ROWS, 1))}, "beyond their pictures"),
        ({"boxes": np.full((ROWS, 4), 7, np.float32)}, "numbers outside 0 to 1"),
        ({"boxes": np.zeros((ROWS, 4), np.float32)}, "beyond their pictures"),
        ({"boxes": None}, "flips and no boxes"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_one_sentence_says_what_is_wrong(change, said, suffix, tmp_path):
    content = {k: v for k, v in {**arrays(), **change}.items() if v is not None}
    if suffix == ".safetensors" and content.get("features", np.ones(1)).dtype.kind == "U":
        return  # its tensors hold no texts
    path = tmp_path / f"features{suffix}"
    write(path, content)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_features(path, "features")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


TYPES = {
    "64-bit integers": np.ones((ROWS, 5), np.int64),
    "unsigned 8-bit integers": np.ones((ROWS, 5), np.uint8),
    "truth values": np.ones((ROWS, 5), bool),
    "complex numbers": np.ones((ROWS, 5), np.complex64),
    "text": np.array([["cat"] * 5] * ROWS),
    "bytes": np.array([[b"cat"] * 5] * ROWS),
    "dates": np.zeros((ROWS, 5), "datetime64[s]"),
    "durations": np.zeros((ROWS, 5), "timedelta64[s]"),
    "records": np.zeros((ROWS, 5), [("a", "f4"), ("b", "U3")]),
    "Python objects": np.full((ROWS, 5), None),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".parquet"])
def test_what_an_array_holds_is_said_in_plain_words(suffix, kind, tmp_path):
    path, values = tmp_path / f"features{suffix}", TYPES[kind]
    if suffix == ".npz":
        np.savez(path, features=values)  # with pickles
    elif suffix == ".safetensors" and values.dtype.kind in "biu":
        write(path, {"features": values})
    elif suffix == ".parquet" and kind == "text":
        write(path, {"features": values})
    else:
        return  # the format has no such arrays
    with pytest.raises(CheckpointError, match=f"features holds {kind}, not floats") as caught:
        read_features(path, "features")
    assert not re.search(r"dtype|<\w|int64|\|S|np\.", str(caught.value))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("BF16", "features holds bfloat16 numbers, not floats"),
        ("F8_E4M3", "numbers of a type that NumPy lacks; save it as 32-bit floats"),
    ],
)
def test_numbers_that_numpy_lacks_are_one_sentence(kind, said, tmp_path):
    """As PyTorch saves them to save room."""
    pytest.importorskip("safetensors")
    size = 8 if kind == "BF16" else 4
    header = {"features": {"dtype": kind, "shape": [2, 2], "data_offsets": [0, size]}}
    packed = json.dumps(header).encode()
    path = tmp_path / "features.safetensors"
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + bytes(size))
    with pytest.raises(CheckpointError, match=said):
        read_features(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".parquet"])
@pytest.mark.parametrize("data", [None, b"", b"not what its name says", b"\xff" * 64])
def test_damaged_and_missing_files(suffix, data, tmp_path):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"features{suffix}"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged|there is no file|Cannot read"):
        read_features(path)


def test_a_file_does_not_decide_how_much_memory_is_taken(tmp_path):
    path = tmp_path / "features.npz"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000), }"
    header = header.ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "features.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        )
    with pytest.raises(CheckpointError, match="features has the shape"):
        read_features(path)


def test_other_files_are_not_files_of_features(tmp_path):
    save_file({"layer.weight": np.ones((2, 2), np.float32)}, tmp_path / "network.safetensors")
    assert not is_feature_file(str(tmp_path / "network.safetensors"))
    for name in ("dinov2_vits14", "runs/teacher", "own.keras", "own.onnx", None):
        assert not is_feature_file(name)
