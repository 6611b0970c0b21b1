"""Embed a folder of pictures on the machines of a Ray cluster, or on the cores of this one.

    pip install 'ray[data]' ai-edge-litert pillow s2bnn_runtime-*.whl
    python embed_on_ray.py student.tflite photos/ embeddings/

The workers need the same, and no TensorFlow. The pictures and the model must be at the same place
on all machines. The output is a folder of Parquet files with the columns `path`, `features` and
`error`, which is empty for a picture that could be read.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import ray
from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.errors import PictureError, S2bnnError
from s2bnn_runtime.images import picture_files


class Embed:
    """One worker, which opens the model once."""

    def __init__(self, model: str) -> None:
        self.embedder = Embedder(Path(model))
        self.dim = int(self.embedder.interpreter.output_details[0]["shape"][-1])

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        features, errors = [], []
        for _, found in self.embedder.each(map(Path, batch["path"])):
            failed = isinstance(found, PictureError)
            features.append(np.full(self.dim, np.nan, np.float32) if failed else found[0])
            errors.append(str(found) if failed else "")
        return {"path": batch["path"], "features": np.stack(features), "error": np.array(errors)}


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="an encoder's .tflite")
    parser.add_argument("pictures", type=Path, nargs="+", help="pictures, or folders of them")
    parser.add_argument("output", type=Path, help="the folder for Parquet files")
    parser.add_argument("--workers", type=int, default=1, help="at a time (default: 1)")
    options = parser.parse_args()
    try:
        Embedder(options.model)  # a mistake is noticed here and not on a worker
        paths = [str(path.resolve()) for path in picture_files(options.pictures)]
    except S2bnnError as error:
        raise SystemExit(f"embed_on_ray.py: {error}") from error
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    rows = ray.data.from_items([{"path": path} for path in paths]).map_batches(
        Embed,
        fn_constructor_args=[str(options.model.resolve())],
        batch_size=64,
        concurrency=options.workers,
    )
    rows.write_parquet(str(options.output.resolve()))


if __name__ == "__main__":
    main()
