"""A linear classifier on frozen features, and the file that holds it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.files import replace_file


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

        def write(temporary: Path) -> None:
            np.savez(
                temporary,
                kernel=self.kernel,
                bias=self.bias,
                class_names=np.array(self.class_names, dtype=np.str_),
                parameters=json.dumps(self.parameters),
                metrics=json.dumps(self.metrics),
            )

        replace_file(Path(path), write)

    @classmethod
    def load(cls, path: Path | str) -> LinearProbe:
        """Read a file that `save` wrote.

        Raises:
            CheckpointError: If the file is missing, damaged or of another kind.
        """
        try:
            # Given a path, np.load leaves a file open that turns out to be damaged.
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(
                    kernel=arrays["kernel"],
                    bias=arrays["bias"],
                    class_names=tuple(arrays["class_names"].tolist()),
                    parameters=json.loads(arrays["parameters"].item()),
                    metrics=json.loads(arrays["metrics"].item()),
                )
        except FileNotFoundError as error:
            raise CheckpointError(
                f"There is no linear classifier at {path}: run `s2bnn eval linear` first."
            ) from error
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{path} is not a linear classifier, or damaged ({error}): "
                "run `s2bnn eval linear` again."
            ) from error
