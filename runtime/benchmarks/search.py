"""Compare the search in an index with faiss and usearch, and its precisions with each other.

    python runtime/benchmarks/search.py --output search.json [--rows 1e4 1e6 1e7]
    python runtime/benchmarks/search.py --output search.json --recall MODEL PICTURES/

The first measures one query on one core, among made codes of 128 bits. Every side runs in turn,
query after query, in one process, after a call of its own that is not counted; the result is the
median. The approximate indexes are built
of the same codes, and their recall is the share of the distances of the exact answer that they
find.

The second takes pictures: recall@10 against exact float, before and after comparing again in
floats, and the latency of a whole search in each precision. Both add to `--output`, and
`--table search.json` prints the tables. The Python that runs this needs faiss-cpu and usearch.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from s2bnn_runtime.codes import BITS, encode
from s2bnn_runtime.delegate import kernels, nearest
from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.images import picture_files
from s2bnn_runtime.index import PRECISIONS, PictureIndex

COUNT = 10  # answers
BYTES = BITS // 8
MADE_QUERIES = 8
QUERIES = 200  # pictures that are looked for
GRAPH_LIMIT = 200_000  # rows of which a graph is built within a minute


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="the JSON file to write or extend")
    parser.add_argument("--rows", nargs="*", type=float, default=[], help="such as 1e4 1e6 1e7")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--recall", nargs=2, type=Path, metavar=("MODEL", "PICTURES"))
    parser.add_argument("--table", type=Path, help="a JSON file to print as tables")
    options = parser.parse_args()
    if options.table:
        print_tables(json.loads(options.table.read_text()))
        return
    found = json.loads(options.output.read_text()) if options.output.is_file() else {"rows": {}}
    found |= {"date": datetime.date.today().isoformat(), "processor": _processor()}
    found["kernels"] = kernels()
    for rows in options.rows:
        found["rows"][str(int(rows))] = compare(int(rows), options.rounds)
        options.output.write_text(json.dumps(found, indent=1) + "\n")
    if options.recall:
        found["recall"] = measure_recall(*options.recall)
        options.output.write_text(json.dumps(found, indent=1) + "\n")
    print_tables(found)


def compare(count: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of a query by each side, and the recall of the approximate ones."""
    rng = np.random.default_rng(0)
    # Codes around centers, since graphs find their way among pictures and not among noise.
    centers = rng.integers(0, 2**64, (max(count // 100, 1), 2), np.uint64)
    noise = rng.integers(0, 2**64, (2, count, 2), np.uint64)
    codes = centers[rng.integers(0, len(centers), count)] ^ noise[0] & noise[1]
    queries = codes[rng.integers(0, count, MADE_QUERIES)] ^ np.uint64(0b1011)
    sides, built = _sides(codes)
    times: dict[str, list[float]] = {name: [] for name in sides}
    answers: dict[str, list[Any]] = {name: [] for name in sides}
    for turn in range(rounds):
        query = queries[turn % MADE_QUERIES]
        for name, search in sides.items():
            search(query)  # finds cold caches
            start = time.perf_counter()
            answer = search(query)
            times[name].append(1e3 * (time.perf_counter() - start))
            answers[name].append(np.sort(np.asarray(answer).ravel())[:COUNT])
    exact = answers["s2bnn"]
    results: dict[str, Any] = {}
    for name in sides:
        low, median, high = statistics.quantiles(times[name], n=4)
        shares = [np.mean(found <= best[-1]) for found, best in zip(answers[name], exact)]
        results[name] = {
            "median_ms": median,
            "quartiles_ms": [low, high],
            "recall": float(np.mean(shares)),
            **({"built_s": built[name]} if name in built else {}),
        }
    return results


def _sides(codes: Any) -> tuple[dict[str, Callable[[Any], Any]], dict[str, float]]:
    """For each side a function from a query to distances, and the seconds that graphs took."""
    import faiss
    from usearch.index import Index, MetricKind, ScalarKind, search

    faiss.omp_set_num_threads(1)
    count, rows = len(codes), codes.view(np.uint8).reshape(len(codes), BYTES)
    flat = faiss.IndexBinaryFlat(BITS)
    flat.add(rows)

    def row(query: Any) -> Any:
        return query.view(np.uint8).reshape(1, BYTES)

    def usearch_exact(query: Any) -> Any:
        found = search(rows, row(query)[0], COUNT, MetricKind.Hamming, exact=True, threads=1)
        return found.distances

    sides: dict[str, Callable[[Any], Any]] = {
        "s2bnn": lambda query: nearest(codes, query, COUNT)[1],
        "faiss, IndexBinaryFlat": lambda query: flat.search(row(query), COUNT)[0],
        "usearch, exact": usearch_exact,
    }
    built: dict[str, float] = {}
    if count <= GRAPH_LIMIT:
        start = time.perf_counter()
        graph = faiss.IndexBinaryHNSW(BITS, 16)
        graph.add(rows)
        built["faiss, IndexBinaryHNSW"] = time.perf_counter() - start
        sides["faiss, IndexBinaryHNSW"] = lambda query: graph.search(row(query), COUNT)[0]
        start = time.perf_counter()
        index = Index(ndim=BITS, metric=MetricKind.Hamming, dtype=ScalarKind.B1)
        index.add(np.arange(count), rows, threads=1)
        built["usearch, Index"] = time.perf_counter() - start
        sides["usearch, Index"] = lambda q: index.search(row(q)[0], COUNT, threads=1).distances
    return sides, built


def measure_recall(model: Path, pictures: Path) -> dict[str, Any]:
    """Recall@10 of the precisions among embeddings of real pictures, and their latency."""
    embedder = Embedder(model)
    paths, vectors, _ = embedder.readable(picture_files([pictures]))
    queries, stored = vectors[:QUERIES], vectors[QUERIES:]
    index = PictureIndex(embedder.space)
    names = [str(path) for path in paths[QUERIES:]]
    index.replace(set(), names, [(0, 0)] * len(names), stored)
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder) / "index.npz")
        index = PictureIndex.load(Path(folder) / "index.npz")
        found: dict[str, Any] = {"pictures": len(names), "dim": vectors.shape[1]}
        exact = [_paths(index.search(query, COUNT)) for query in queries]
        bytes_each = {"float": 4 * vectors.shape[1], "int8": vectors.shape[1] + 4, "bits": BYTES}
        times: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        hits = dict.fromkeys(PRECISIONS, 0)
        for query, best in zip(queries, exact):
            for precision in PRECISIONS:
                start = time.perf_counter()
                answer = index.search(query, COUNT, precision=precision)
                times[precision].append(1e3 * (time.perf_counter() - start))
                hits[precision] += len(_paths(answer) & best)
        for precision in PRECISIONS:
            found[precision] = {
                "bytes": bytes_each[precision],
                "recall": _alone(index, queries, exact, precision),
                "recall_compared_again": hits[precision] / COUNT / len(queries),
                "median_ms": statistics.median(times[precision]),
            }
    return found


def _alone(index: PictureIndex, queries: Any, exact: list[set[str]], precision: str) -> float:
    """Recall@10 of a precision whose answers are not compared again."""
    vectors = np.asarray(index.vectors)
    center = vectors.mean(axis=0)
    units = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    if precision == "bits":
        codes, asked = encode(vectors, center), encode(units, center)
        differ = np.unpackbits((codes[None] ^ asked[:, None]).view(np.uint8), axis=2).sum(axis=2)
        scores = -differ.astype(np.float32)
    else:
        scales = np.abs(vectors).max(axis=1, keepdims=True) / 127
        rounded = np.round(vectors / scales) * scales if precision == "int8" else vectors
        scores = units @ rounded.T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :COUNT]
    hits = [len({index.paths[i] for i in row} & paths) for row, paths in zip(best, exact)]
    return float(np.mean(hits)) / COUNT


def _paths(found: list[tuple[str, float]]) -> set[str]:
    return {path for path, _ in found}


def print_tables(found: dict[str, Any]) -> None:
    rows = found["rows"]
    print(f"{found['processor']}, {found['kernels']} kernels, {found['date']}\n")
    if rows:
        sides = dict.fromkeys(side for results in rows.values() for side in results)
        print("| rows | " + " | ".join(sides) + " |\n|" + "---|" * (len(sides) + 1))
        for count, results in rows.items():
            cells = [_cell(results.get(side)) for side in sides]
            print(f"| {int(count):,} | " + " | ".join(cells) + " |")
    if "recall" in found:
        print("\n| precision | bytes a picture | recall@10 | compared again | search |")
        print("|---|---|---|---|---|")
        for precision in PRECISIONS:
            at = found["recall"][precision]
            shares = f"{at['recall']:.3f} | {at['recall_compared_again']:.3f}"
            print(f"| `{precision}` | {at['bytes']} | {shares} | {at['median_ms']:.2f} ms |")


def _cell(result: dict[str, Any] | None) -> str:
    if result is None:
        return "not built"
    recall = "" if result["recall"] == 1 else f" ({result['recall']:.2f})"
    return f"{result['median_ms']:.3g} ms{recall}"


def _processor() -> str:
    names = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return names[0].split(": ")[1] if names else "unknown"


if __name__ == "__main__":
    main()
