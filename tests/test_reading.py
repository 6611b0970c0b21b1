"""Files that are damaged, hostile or of another kind end in one sentence."""

from __future__ import annotations

import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from s2bnn_tf.errors import CheckpointError, DataError
from s2bnn_tf.reading import (
    Array,
    ListOf,
    Number,
    Object,
    Text,
    open_regular,
    read_bytes,
    read_json,
    read_json_lines,
    read_npz,
)

CURE = "make it again"
ARRAYS = {
    "features": Array("f", ("rows", "dim")),
    "labels": Array("iu", ("rows",), low=-1, high=2**31),
    "names": Array("U", ("classes",), optional=True),
}


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.npz"
    rng = np.random.default_rng(0)
    np.savez(
        path,
        features=rng.normal(size=(5, 3)).astype(np.float32),
        labels=np.arange(5),
        names=np.array(["cat", "dog"]),
    )
    return path


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_arrays_come_back_as_they_were(good):
    read = read_npz(good, ARRAYS, cure=CURE)
    with np.load(good) as expected:
        for name in expected.files:
            np.testing.assert_array_equal(read[name], expected[name])
            assert read[name].dtype == expected[name].dtype
            assert read[name].flags.writeable


def test_labels_stay_below_the_number_of_classes(tmp_path):
    path = save(tmp_path / "l.npz", labels=np.array([0, 2]), names=np.array(["a", "b"]))
    arrays = {"labels": Array("iu", ("rows",), below="classes"), "names": Array("U", ("classes",))}
    with pytest.raises(CheckpointError, match="labels holds 2, and there are 2 of them"):
        read_npz(path, arrays, cure=CURE)


def test_arrays_in_the_order_of_columns(tmp_path):
    values = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    path = save(tmp_path / "f.npz", features=values, labels=np.zeros(2, int))
    np.testing.assert_array_equal(read_npz(path, ARRAYS, cure=CURE)["features"], values)


F, L = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)


@pytest.mark.parametrize(
    "arrays, reason",
    [
        ({"features": F}, "labels is missing"),
        ({"features": F, "labels": np.zeros(3, int)}, r"labels has the shape \(3,\)"),
        ({"features": F[0], "labels": L}, "features has 1 dimensions, not 2"),
        ({"features": F.astype(int), "labels": L}, "features holds 64-bit integers, not floats"),
        ({"features": F + np.float32("nan"), "labels": L}, "features holds a number that is not"),
        ({"features": F, "labels": L - 2}, "labels holds numbers outside -1 to"),
        ({"features": F, "labels": np.array([1, 10**15])}, "labels holds numbers outside -1 to"),
        (
            {"features": F, "labels": np.array([1, None])},
            "labels holds Python objects, not integers",
        ),
    ],
)
def test_arrays_that_are_not_as_expected(tmp_path, arrays, reason):
    path = save(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=f"bad.npz is damaged \\({reason}.*; make it again"):
        read_npz(path, ARRAYS, cure=CURE, error=DataError)


def test_a_missing_file_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz", ARRAYS, cure=CURE)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json", cure=CURE)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_mutated_npz_is_read_whole_or_refused_in_one_sentence(tmp_path, compressed, mutants):
    path = tmp_path / "m.npz"
    (np.savez_compressed if compressed else np.savez)(path, features=F + 1, labels=L)
    refused = 0
    for mutant in mutants(path.read_bytes(), 800):
        path.write_bytes(mutant)
        try:
            read = read_npz(path, ARRAYS, cure=CURE)
            assert read["features"].shape == (len(read["labels"]), read["features"].shape[1])
        except CheckpointError as error:
            refused += 1
            assert "\n" not in str(error) and str(error).endswith("; make it again.")
    assert refused > 300


def test_a_mutated_json_is_read_whole_or_refused_in_one_sentence(tmp_path, mutants):
    path = tmp_path / "m.json"
    fields = {"crop": Number(above=0, high=1), "labels": ListOf(Text()), "sizes.file": Number()}
    data = json.dumps({"crop": 0.875, "labels": ["a", "\u00e9"], "sizes": {"file": 3}}).encode()
    for mutant in mutants(data, 1500):
        path.write_bytes(mutant)
        try:
            read = read_json(path, fields, cure=CURE)
            assert 0 < read["crop"] <= 1
        except CheckpointError as error:
            assert "\n" not in str(error) and str(error).endswith("; make it again.")


def test_memory_is_not_decided_by_the_file(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("features.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": (2**20, 64)}
            np.lib.format.write_array_header_1_0(member, header)
            for _ in range(64):
                member.write(bytes(2**22))
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="features unpacks to 268,"):
        read_npz(path, ARRAYS, cure=CURE)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_a_header_that_promises_too_much_takes_no_memory(tmp_path):
    path = tmp_path / "liar.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("features.npy", "w") as member:
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**31, 2**8)}
        np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(CheckpointError, match=r"features has the shape \(2147483648, 256\)"):
        read_npz(path, ARRAYS, cure=CURE)


@pytest.mark.parametrize(
    "text, reason",
    [
        ('{"crop": Infinity}', "it holds Infinity"),
        ('{"crop": NaN}', "it holds NaN"),
        ('{"crop": 1e999}', "crop is inf, not a number above 0 up to 1"),
        ('{"crop": 0}', "crop is 0, not a number above 0 up to 1"),
        ('{"crop": true}', "crop is True"),
        ('{"crop": "0.5"}', "crop is '0.5'|crop is 0.5"),
        ("{}", "crop is missing"),
        ("[1]", "it holds list where an object is expected"),
        ("[" * 100_000, "recursion"),
        ("\udcff", "codec"),
        ('{"crop": 1, "labels": ["a", 3]}', "labels is .* not a list of a text"),
    ],
)
def test_json_that_is_not_as_expected(tmp_path, text, reason):
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    fields = {"crop": Number(above=0, high=1), "labels": ListOf(Text(), optional=True)}
    with pytest.raises(CheckpointError, match=f"bad.json is damaged \\(.*({reason})"):
        read_json(path, fields, cure=CURE)


def test_json_with_a_byte_order_mark_and_unknown_keys(tmp_path):
    path = tmp_path / "card.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"a": {"b": 1}, "c": null}')
    fields = {"a": Object(), "a.b": Number(whole=True), "c": Text(optional=True)}
    assert read_json(path, fields, cure=CURE)["a"] == {"b": 1}


def test_lines_of_json(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    fields = {"epoch": Number(whole=True)}
    path.write_text('{"epoch": 1, "loss": NaN}\n\n{"epoch": 2}\n{"epo')
    assert read_json_lines(path, fields) == [{"epoch": 1, "loss": None}, {"epoch": 2}]
    assert not caplog.messages
    path.write_text(
        '{"epoch": 1}\n{"epo\n{"epoch": Infinity}\n[]\n' + "[" * 9999 + '\n{"epoch": 3}'
    )
    assert [row["epoch"] for row in read_json_lines(path, fields)] == [1, 3]
    assert caplog.messages == [f"{path}: 4 damaged lines were left out."]


def test_only_regular_files_are_opened(tmp_path):
    pipe, link, real = tmp_path / "pipe", tmp_path / "link", tmp_path / "real"
    os.mkfifo(pipe)
    real.write_text("{}")
    link.symlink_to(real)
    for path in (pipe, "/dev/zero"):
        with pytest.raises(OSError, match="it is not a regular file"):
            open_regular(path)
        with pytest.raises(CheckpointError, match="Cannot read .*: it is not a regular file"):
            read_json(path, cure=CURE)
    with pytest.raises(CheckpointError, match="it is a symbolic link, which is not followed here"):
        read_json(link, cure=CURE)
    assert read_json(link, cure=CURE, follow_links=True) == {}
    with open_regular(link) as file:
        assert file.read() == b"{}"
    with pytest.raises(OSError, match="[Ss]ymbolic links"):
        open_regular(link, follow_links=False)
    with pytest.raises(OSError, match="larger than 1 bytes"):
        read_bytes(real, limit=1)
