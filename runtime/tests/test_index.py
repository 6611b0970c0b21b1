"""An index of pictures: what it finds in each precision, and how it changes."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from conftest import KERNELS

from s2bnn_runtime import S2bnnError
from s2bnn_runtime.codes import BITS, encode
from s2bnn_runtime.delegate import nearest as nearest_codes
from s2bnn_runtime.index import PRECISIONS, PictureIndex
from s2bnn_runtime.indexing import changes


def made(count: int, dim: int = 24, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(20, dim))
    rows = 3 + centers[rng.integers(0, 20, count)] + 0.3 * rng.normal(size=(count, dim))
    return rows.astype(np.float32)


def index_of(vectors: np.ndarray, path) -> PictureIndex:
    index = PictureIndex("a model")
    names = [f"/photos/{number}.jpg" for number in range(len(vectors))]
    index.replace(set(), names, [(1, 2)] * len(names), vectors)
    index.save(path)
    return PictureIndex.load(path)


def cosines_of(vectors: np.ndarray, query: np.ndarray, paths: list[str]) -> np.ndarray:
    rows = vectors[[int(path.split("/")[-1][:-4]) for path in paths]].astype(np.float64)
    return rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)


def nearest(vectors: np.ndarray, query: np.ndarray, count: int) -> list[str]:
    cosines = vectors.astype(np.float64) @ query / np.linalg.norm(vectors, axis=1)
    return [f"/photos/{number}.jpg" for number in np.argsort(-cosines, kind="stable")[:count]]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_finds_what_a_loop_finds(precision, tmp_path):
    vectors, queries = np.split(made(5020), [5000])
    index = index_of(vectors, tmp_path / "index.npz")
    hits = 0
    for query in queries:
        found = index.search(query, 10, precision=precision)
        wanted = nearest(vectors, query, 10)
        hits += len({path for path, _ in found} & set(wanted))
        scores = [score for _, score in found]
        assert scores == sorted(scores, reverse=True)
        if precision != "bits":  # near ties are in another order where another machine rounds
            np.testing.assert_allclose(scores, cosines_of(vectors, query, wanted), atol=1e-6)
        number = int(found[0][0].split("/")[-1][:-4])
        cosine = vectors[number] @ query / np.linalg.norm(vectors[number]) / np.linalg.norm(query)
        assert scores[0] == pytest.approx(cosine, abs=1e-5)
    assert hits > 190  # of 200


def bits_that_differ(codes: np.ndarray, query: np.ndarray) -> np.ndarray:
    bits = np.unpackbits((codes ^ query).view(np.uint8).reshape(len(codes), 8 * len(query)), axis=1)
    return bits.sum(axis=1, dtype=np.int64)


def test_distances_of_codes_are_counts_of_bits_and_grow_with_angles():
    rng = np.random.default_rng(0)
    units = rng.normal(size=(300, 64)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    codes = encode(units, np.zeros(64, np.float32))
    assert codes.shape == (300, BITS // 64)
    rows, found = nearest_codes(codes, codes[7], 300)
    np.testing.assert_array_equal(rows, np.arange(300))
    np.testing.assert_array_equal(found, bits_that_differ(codes, codes[7]))
    assert found[7] == 0
    angles = np.arccos(np.clip(units @ units[7], -1, 1)) / np.pi
    assert np.abs(found / BITS - angles).mean() < 0.06


BY_KERNELS = pytest.mark.parametrize("kernels", [name for name in KERNELS if name != "reference"])


def codes_of(kind: str, count: int, words: int, query: np.ndarray) -> np.ndarray:
    """Codes that are not aligned, at distances that come in a certain order."""
    rng = np.random.default_rng(words)
    data = np.zeros(8 * words * (count + 1) + 3, np.uint8)
    codes = np.frombuffer(data, np.uint64, words * count, 3).reshape(count, words)
    bits, places = 64 * words, np.arange(count)[:, np.newaxis]
    flipped = {
        "random": rng.random((count, bits)) < 0.5,
        "few distances": rng.random((count, bits)) < rng.choice([0.0, 0.02], (count, 1)),
        "equal": np.ones((count, bits), bool),
        "approaching": np.arange(bits) < (count - places) // 9,
        "leaving": np.arange(bits) < places // 9,
    }[kind]
    codes[:] = np.packbits(flipped, axis=1).view(np.uint64) ^ query
    return codes


@BY_KERNELS
@pytest.mark.parametrize("kind", ["random", "few distances", "equal", "approaching", "leaving"])
def test_the_nearest_codes_are_those_that_sorting_finds(kernels, kind):
    for words in (1, 2, 3, 17):
        query = np.random.default_rng(words).integers(0, 2**63, words, np.uint64)
        for count in (0, 1, 63, 64, 65, 2003):
            codes = codes_of(kind, count, words, query)
            differing = bits_that_differ(codes, query)
            for wanted in (0, 1, 10, 500, count, count + 1):
                rows, distances = nearest_codes(codes, query, wanted, kernels=kernels)
                last = np.sort(differing)[:wanted].max(initial=-1)
                np.testing.assert_array_equal(rows, np.flatnonzero(differing <= last))
                np.testing.assert_array_equal(distances, differing[rows])


def test_codes_that_cannot_be_compared_are_refused():
    query = np.zeros(2, np.uint64)
    with pytest.raises(S2bnnError, match="no kernels 'other' that compare codes"):
        nearest_codes(np.zeros((3, 2), np.uint64), query, 1, kernels="other")
    with pytest.raises(S2bnnError, match="codes have shape"):
        nearest_codes(np.zeros((3, 3), np.uint64), query, 1)


@pytest.mark.parametrize("place", [0, 2500, 4999])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_exact_match_among_5000_equal_codes_is_found(precision, place, tmp_path):
    vectors = np.repeat(np.concatenate([made(1, seed=3), -made(1, seed=3)]), 5000, axis=0)
    vectors[place] += 0.01 * np.random.default_rng(5).normal(size=24)
    index = index_of(vectors, tmp_path / "index.npz")
    assert len(np.unique(index._codes[:5000], axis=0)) == 1
    found = index.search(vectors[place], 1, precision=precision)
    assert found[0][0] == f"/photos/{place}.jpg"


def test_rows_come_and_go(tmp_path):
    path = tmp_path / "index.npz"
    vectors = made(300)
    index = index_of(vectors, path)
    index.replace({"/photos/0.jpg"}, [], [], np.zeros((0, 24), np.float32))
    assert len(index) == 299 and index.search(vectors[0], 1)[0][0] != "/photos/0.jpg"
    index.replace(set(), ["/photos/0.jpg"], [(1, 2)], vectors[:1])
    index.save(path)
    again = PictureIndex.load(path)
    for precision in PRECISIONS:
        assert again.search(vectors[0], 1, precision=precision)[0][0] == "/photos/0.jpg"
    again.replace({"/photos/1.jpg"}, ["/moved/ä\udcff.jpg"], [(1, 2)], vectors[1:2])
    again.save(path)
    moved = PictureIndex.load(path)
    assert moved.search(vectors[1], 1)[0] == ("/moved/ä\udcff.jpg", pytest.approx(1, abs=1e-5))
    moved.replace(set(moved.paths), [], [], np.zeros((0, 24), np.float32))
    moved.save(path)
    empty = PictureIndex.load(path)
    assert len(empty) == 0
    assert [empty.search(vectors[0], 3, precision=precision) for precision in PRECISIONS] == [
        []
    ] * 3
    empty.replace(set(), ["/new.jpg"], [(0, 0)], made(1, dim=7))
    assert empty.search(made(1, dim=7)[0], 1)[0][0] == "/new.jpg"


def test_what_is_left_out_makes_room(tmp_path):
    vectors = made(50)
    index = index_of(vectors, tmp_path / "index.npz")
    found = index.search(vectors[3], 5, leave_out=lambda path: path == "/photos/3.jpg")
    assert [path for path, _ in found] == nearest(vectors, vectors[3], 6)[1:]


def test_changes_of_files(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.png").write_text(name)
    files = sorted(tmp_path.glob("*.png"))
    index = PictureIndex("a model")
    gone, new = changes(index, files)
    assert (gone, [path for path, _ in new]) == (set(), files)
    index.replace(set(), [str(p) for p, _ in new], [stamp for _, stamp in new], made(3))
    assert changes(index, files) == (set(), [])
    files[0].write_text("longer")
    files[1].unlink()
    (tmp_path / "d.png").write_text("d")
    gone, new = changes(index, [files[0], files[2], tmp_path / "d.png"])
    assert gone == {str(files[1])}
    assert [path.name for path, _ in new] == ["a.png", "d.png"]


def test_a_full_disk_keeps_the_file_before(tmp_path, monkeypatch):
    path = tmp_path / "index.npz"
    index_of(made(10), path)
    before = path.read_bytes()
    fuller = index_of(made(20), tmp_path / "other.npz")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(S2bnnError, match=r"index.npz: No space left on device"):
        fuller.save(path)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["index.npz", "other.npz"]


@pytest.mark.parametrize(
    "change",
    [
        {"vectors": np.zeros((3, 24), np.float32)},
        {"vectors": np.zeros((4, 24))},
        {"codes": np.zeros((4, 2), np.int64)},
        {"ends": np.array([3, 2, 9, 9])},
        {"ends": np.array([3, 6, 9, 10**9])},
        {"ends": np.array(9)},
        {"ends": np.zeros(0, np.int64)},
        {"ends": np.array(["3", "6", "9", "12"])},
        {"paths": np.array(3, np.uint8)},
        {"center": np.zeros(24, ">f4")},
        {"space": np.array(3)},
        {"stamps": None},
    ],
)
def test_a_file_of_another_kind_is_refused(change, tmp_path):
    path = tmp_path / "index.npz"
    index_of(made(4), path)
    with np.load(path) as arrays:
        changed = {**arrays, **change}
    np.savez(path, **{name: value for name, value in changed.items() if value is not None})
    with pytest.raises(S2bnnError, match="is no index of pictures"):
        PictureIndex.load(path)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e30])
def test_a_vector_that_is_damaged_is_neither_found_nor_written(number, tmp_path):
    path = tmp_path / "index.npz"
    index_of(made(4), path)
    with np.load(path) as arrays:
        changed = dict(arrays)
    changed["vectors"][2, 5] = number
    np.savez(path, **changed)
    index = PictureIndex.load(path)
    with pytest.raises(S2bnnError, match="is damaged .* index again"):
        index.search(np.ones(24, np.float32), 4)
    with pytest.raises(S2bnnError, match="is damaged .* index again"):
        index.replace(set(), [], [], np.zeros((0, 24), np.float32))


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "index.npz"
    index_of(made(4), path)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(S2bnnError, match="index.npz is damaged"):
            PictureIndex.load(path)
    np.savez_compressed(path, a=np.zeros(1000))
    with pytest.raises(S2bnnError, match="damaged .it is compressed"):
        PictureIndex.load(path)
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(S2bnnError, match="damaged .a holds Python objects, which are never read"):
        PictureIndex.load(path)
