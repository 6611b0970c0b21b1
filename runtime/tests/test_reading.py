"""Arrays in files from elsewhere: what is wrong with them, without NumPy's own words."""

from __future__ import annotations

import re
import zipfile

import numpy as np
import pytest

from s2bnn_runtime.errors import S2bnnError
from s2bnn_runtime.reading import map_arrays, read_arrays

READ = pytest.mark.parametrize("read", [read_arrays, map_arrays])
BEGIN = "a does not begin as an array does"
SIZE = "a has another size than its header says"


def array(kind: str, shape: str = "(2, 2)", body: int = 16) -> bytes:
    """The bytes of an array, whatever its header says."""
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}".encode()
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(body)


@READ
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (array("'|O'"), "a holds Python objects, which are never read"),
        (array("[('x', '<f4'), ('y', '<U3')]", body=64), "a holds records, which are never read"),
        (array("('<f4', (3,))", body=48), "a holds records"),
        (array("'|X3'"), BEGIN),
        (array("'<f4'", "'2'"), BEGIN),
        (b"", BEGIN),
        (b"junk", BEGIN),
        (b"\x93NUMPY\x09\x00" + bytes(200), BEGIN),
        (array("'<f4'", "(-2, -2)"), SIZE),
        (array("'<f4'", "(2, 3)"), SIZE),
        (array("'<f4'", "(1000000000, 1000000000)"), SIZE),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(read, content, said, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(S2bnnError, match=f"a.npz is damaged \\({said}") as caught:
        read(tmp_path / "a.npz")
    assert not re.search(r"dtype|<\w|\|\w|pickle|descr", str(caught.value))


@READ
def test_arrays_of_every_kind_are_read_as_they_were_written(read, tmp_path):
    arrays = {
        "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
        "text": np.array(["cat", "crème brûlée"]),
        "empty text": np.array("", np.str_),
        "nothing": np.zeros((0, 4)),
        "one": np.float64(3),
    }
    if read is read_arrays:
        arrays["columns"] = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.savez(tmp_path / "a.npz", **arrays)
    found = read(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        assert found[name].dtype == np.asarray(values).dtype, name
        np.testing.assert_array_equal(found[name], values)
