"""The place where results are kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from s2bnn_tf.files import refuse_links
from s2bnn_tf.reading import Field, ListOf, Number, Object, Text, read_json
from s2bnn_tf.teachers import locate_model

_SHARE, _COUNT = Number(low=0, high=1), Number(low=0, whole=True)
_ANY_SHARE = Number(low=0, high=1, optional=True)
_DISTRIBUTION = Object(
    {
        "entropy_mean": Number(low=0),
        "mean_sorted_distribution": ListOf(_SHARE),
        "entropy_histogram.from": Number(),
        "entropy_histogram.to": Number(),
        "entropy_histogram.counts": ListOf(_COUNT),
    },
    optional=True,
)
_BIN = Object({"from": _SHARE, "to": _SHARE, "count": _COUNT, "accuracy": _ANY_SHARE})
_AMOUNT = Object(
    {
        "top1": _SHARE,
        "n_train": _COUNT,
        "confidence_interval": ListOf(Number(), 2, optional=True),
    }
)
# What a reader may rely on in the results of each measure.
_FIELDS: dict[str, dict[str, Field]] = {
    "knn": {
        "top1": _SHARE,
        "k": _COUNT,
        "temperature": Number(above=0),
        "n_train": _COUNT,
        "n_test": Number(low=1, whole=True),
        "classes": Number(low=1, whole=True, optional=True),
        "size_bytes": Number(low=0, whole=True, optional=True),
    },
    "linear": {
        "top1": _SHARE,
        "C_chosen_on": Text(optional=True),
        "hint": Text(optional=True),
        "size_bytes": Number(low=0, whole=True, optional=True),
    },
    "finetune": {
        "top1": _SHARE,
        "hint": Text(optional=True),
        "size_bytes": Number(low=0, whole=True, optional=True),
    },
    "low_label": {"draws": _COUNT, "amounts": Object(values=_AMOUNT)},
    "calibration": {
        "student": _DISTRIBUTION,
        "teacher": _DISTRIBUTION,
        "dimensions": Number(low=1, whole=True, optional=True),
        "uniform_entropy": Number(low=0, optional=True),
        "kl_mean": Number(optional=True),
        "reliability": Object(
            {"expected_calibration_error": _SHARE, "bins": ListOf(_BIN)}, optional=True
        ),
    },
    "benchmark": {
        "latency_ms.median": Number(low=0),
        "runs": _COUNT,
        "threads": _COUNT,
        "machine": Text(),
        "engine": Text(),
    },
}


def results_dir(path: Path | str, transfer: str | None = None) -> Path:
    """Return the directory of a model's results.

    It is RUN/eval, of a published teacher in the cache; NAME.eval beside NAME.tflite, and
    NAME.onnx.eval beside NAME.onnx, which may be the same network as NAME.tflite.

    Args:
        path: A model, as for `open_model`.
        transfer: A source of images other than those the model was trained on, whose results
            have a directory of their own below.

    Raises:
        CheckpointError: If the directory, or one in it, is a symbolic link.
    """
    path = locate_model(path, must_exist=False)
    if path.is_dir():
        directory = path / "eval"
    elif path.suffix in (".onnx", ".keras"):
        directory = path.with_name(f"{path.name}.eval")
    else:
        directory = path.with_suffix(".eval")
    refuse_links(directory, directory / "features", directory / "transfer")
    if transfer is None:
        return directory
    return directory / "transfer" / re.sub(r"[^A-Za-z0-9.-]+", "_", transfer).strip("_.")


def read_results(path: Path | str, name: str) -> dict[str, Any] | None:
    """Read a result of a model; None if there is none yet.

    Args:
        path: A run directory or a `.tflite`.
        name: The name of the measure, as in "knn" for knn.json.

    Raises:
        CheckpointError: If the file is damaged.
    """
    command = "s2bnn benchmark" if name == "benchmark" else f"s2bnn eval {name.replace('_', '-')}"
    try:
        return read_json(
            results_dir(path) / f"{name}.json", _FIELDS[name], cure=f"run `{command} {path}` again"
        )
    except FileNotFoundError:
        return None
