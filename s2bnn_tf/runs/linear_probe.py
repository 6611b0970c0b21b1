"""A linear classifier on frozen features, and the file that holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.files import save_arrays
from s2bnn_tf.reading import Array, parse_json, read_npz

_ARRAYS = {
    "kernel": Array("f", ("features", "classes")),
    "bias": Array("f", ("classes",)),
    "class_names": Array("U", ("classes",)),
    "parameters": Array("U", ()),
    "metrics": Array("U", ()),
}


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier on raw (not standardized) features: logits = features @ kernel + bias.

    A probe is never changed. Fit it first, and add the measurements to a copy:
    `dataclasses.replace(probe, metrics=...)`.

    Attributes:
        kernel: Weights, `(C, K)` float32.
        bias: Biases, `(K,)` float32.
        class_names: The K names of the classes.
        parameters: Everything that decided the outcome, ready for JSON.
        metrics: "top1" and "top5" in [0, 1] on the test split, "n_train" and "n_test"; empty
            if the probe was not measured.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    class_names: tuple[str, ...]
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score features `(N, C)` for each class: `(N, K)`."""
        logits: NDArray[np.float32] = features @ self.kernel + self.bias
        return logits

    def save(self, path: Path | str) -> None:
        """Write an .npz of kernel, bias, class_names and the rest as JSON text; no pickle."""
        arrays = {
            "kernel": self.kernel,
            "bias": self.bias,
            "class_names": np.array(self.class_names, dtype=np.str_),
            "parameters": json.dumps(self.parameters),
            "metrics": json.dumps(self.metrics),
        }
        save_arrays(Path(path), arrays)

    @classmethod
    def load(cls, path: Path | str) -> LinearProbe:
        """Read a file that `save` wrote.

        Raises:
            CheckpointError: If the file is missing, damaged or of another kind.
        """
        again = "run `s2bnn eval linear` again"
        try:
            arrays = read_npz(path, _ARRAYS, cure=again)
            parameters, metrics = (parse_json(arrays[n].item()) for n in ("parameters", "metrics"))
        except FileNotFoundError as error:
            raise CheckpointError(
                f"There is no linear classifier at {path}: run `s2bnn eval linear` first."
            ) from error
        except ValueError as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{path} is damaged ({error}); {again}.") from error
        names = tuple(arrays["class_names"].tolist())
        return cls(arrays["kernel"], arrays["bias"], names, parameters, metrics)
