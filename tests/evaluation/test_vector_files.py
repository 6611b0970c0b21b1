"""Vectors in files, and what other programs make of them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from s2bnn_tf.cli import main
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.evaluation.vector_files import check_vector_file, write_vectors

MODEL = Path(__file__).parents[1] / "compat/data/0.1.0/student.tflite"


def installed(*names: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in names)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(11):
        pixels = rng.integers(0, 256, (6, 5, 3), np.uint8)
        Image.fromarray(pixels).resize((50, 60)).save(folder / f"{number:02d} ä.png")
    (folder / "05 b.png").write_text("no picture")
    return folder


def embed(*arguments: object):
    return CliRunner().invoke(main, ["embed", str(MODEL), *map(str, arguments)])


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_shards_are_the_whole_one_after_the_other(photos, tmp_path, count):
    assert embed(photos, "--output", tmp_path / "whole.npz").exit_code == 1  # for one picture
    paths, features = [], []
    for number in range(1, count + 1):
        output = tmp_path / f"{number}.npz"
        done = embed(photos, "--output", output, "--shard", f"{number}/{count}")
        assert done.exit_code == ("05 b.png" in done.output)
        if not output.exists():  # the shard of the broken picture alone
            assert count == 12
            continue
        with np.load(output) as arrays:
            paths += arrays["paths"].tolist()
            features.append(arrays["features"])
    with np.load(tmp_path / "whole.npz") as arrays:
        assert paths == arrays["paths"].tolist() and len(paths) == 11
        np.testing.assert_allclose(np.concatenate(features), arrays["features"], atol=1e-5)


def test_the_last_line_says_what_was_left_out(photos, tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    (tmp_path / "c.jpg").write_text("nor this one")
    shutil.copy(photos / "00 ä.png", tmp_path / "b.png")
    runner, output = CliRunner(mix_stderr=False), str(tmp_path / "out.npz")
    command = ["embed", str(MODEL), str(tmp_path), "--output", output]
    said = (
        f"2 images cannot be read and were left out, such as {tmp_path / 'a.jpg'} (not an image)."
    )
    for option in ([], ["--json"]):
        done = runner.invoke(main, [*command, *option])
        assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, said)
    found = json.loads(done.stdout)
    assert (found["images"], found["skipped"]) == (1, 2)
    assert found["first_skipped"] == f"{tmp_path / 'a.jpg'} (not an image)"
    command[2] = str(tmp_path / "b.png")
    done = runner.invoke(main, command)
    assert done.exit_code == 0 and "left out" not in done.output + done.stderr


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0", "²/3"])
def test_what_is_no_shard_is_refused(photos, tmp_path, shard):
    done = embed(photos, "--output", tmp_path / "out.npz", "--shard", shard)
    assert done.exit_code == 2 and "the third of 64 parts" in done.output


def test_an_empty_shard_is_one_sentence(photos, tmp_path):
    done = embed(photos, "--output", tmp_path / "out.npz", "--shard", "1/64")
    assert done.exit_code == 1
    assert "Part 1 of 64 of 12 images is empty; use fewer." in done.output
    assert not list(tmp_path.iterdir())


def test_an_npy_is_mapped_and_has_its_paths_beside_it(photos, tmp_path):
    embed(photos, "--output", tmp_path / "whole.npz")
    assert embed(photos, "--output", tmp_path / "out.npy").exit_code == 1  # for one picture
    mapped = np.load(tmp_path / "out.npy", mmap_mode="r")
    with np.load(tmp_path / "whole.npz") as arrays:
        np.testing.assert_array_equal(mapped, arrays["features"])
        assert json.loads((tmp_path / "out.paths.json").read_text()) == arrays["paths"].tolist()


def test_an_ending_of_no_kind_is_refused_before_any_work(tmp_path):
    done = embed(tmp_path / "none", "--output", tmp_path / "out.csv")
    assert done.exit_code == 1
    assert "the output is named *.npz, *.npy, *.parquet" in done.output


def made() -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [f"/photos/{number} ä.jpg" for number in range(500)], vectors


def nearest(vectors: np.ndarray) -> list[int]:
    return np.argsort(-(vectors @ vectors[7]), kind="stable")[:5].tolist()


def test_a_parquet_without_pyarrow_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 's2bnn_tf\[parquet\]'"):
        check_vector_file(tmp_path / "out.parquet")


if installed("faiss"):

    def test_faiss_reads_a_mapped_npy(tmp_path):
        import faiss

        names, vectors = made()
        write_vectors(tmp_path / "out.npy", names, {"features": vectors})
        mapped = np.load(tmp_path / "out.npy", mmap_mode="r")
        index = faiss.IndexFlatIP(64)
        index.add(np.ascontiguousarray(mapped))
        assert index.search(vectors[7:8], 5)[1][0].tolist() == nearest(vectors)


if installed("usearch"):

    def test_usearch_reads_an_npz(tmp_path):
        from usearch.index import MetricKind, search

        names, vectors = made()
        write_vectors(tmp_path / "out.npz", names, {"features": vectors})
        with np.load(tmp_path / "out.npz") as arrays:
            found = search(arrays["features"], vectors[7], 5, MetricKind.Cos, exact=True)
        assert found.keys.tolist() == nearest(vectors)


if installed("duckdb", "pyarrow"):

    def test_duckdb_searches_the_parquet_of_several_shards(tmp_path):
        import duckdb

        names, vectors = made()
        for number in range(2):
            half = slice(250 * number, 250 * (number + 1))
            file = tmp_path / f"{number}.parquet"
            write_vectors(file, names[half], {"features": vectors[half]})
        found = duckdb.execute(
            "select path, array_inner_product(features::float[64], ?::float[64]) as score "
            f"from '{tmp_path}/*.parquet' order by score desc limit 5",
            [vectors[7].tolist()],
        ).fetchall()
        assert [path for path, _ in found] == [names[number] for number in nearest(vectors)]
        assert found[0][1] == pytest.approx(1, abs=1e-5)
