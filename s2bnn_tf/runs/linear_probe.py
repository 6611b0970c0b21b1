"""A linear classifier on frozen features, and the file it is kept in."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2bnn_tf.errors import UserError
from s2bnn_tf.files import replace_file


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier on raw (not standardized) features: logits = features @ kernel + bias.

    Attributes:
        kernel: (C, K) float32.
        bias: (K,) float32.
        class_names: the K names.
        parameters: everything that decided the outcome, ready for JSON.
        metrics: "top1" and "top5" on the test split, "n_train", "n_test".
    """

    kernel: np.ndarray
    bias: np.ndarray
    class_names: tuple[str, ...]
    parameters: dict
    metrics: dict

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Score features (N, C) for each class: (N, K)."""
        return features @ self.kernel + self.bias

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
        """Read what `save` wrote.

        Raises:
            UserError: if the file is missing, damaged or of another kind.
        """
        try:
            # np.load leaves a file open that turns out to be damaged.
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(
                    kernel=arrays["kernel"],
                    bias=arrays["bias"],
                    class_names=tuple(arrays["class_names"].tolist()),
                    parameters=json.loads(arrays["parameters"].item()),
                    metrics=json.loads(arrays["metrics"].item()),
                )
        except FileNotFoundError as error:
            raise UserError(
                f"There is no linear classifier at {path}: run `s2bnn eval linear` first."
            ) from error
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} is not a linear classifier, or damaged ({error}): "
                "run `s2bnn eval linear` again."
            ) from error
