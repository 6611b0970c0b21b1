"""Weights that depend only on names and a seed; goldens need not hold them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def random_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """A float32 state dict like that of a trained network, from names and shapes.

    NumPy's RandomState gives the same numbers in every version.
    """
    random = np.random.RandomState(seed)
    return {name: _random(random, name, shape) for name, shape in sorted(shapes.items())}


def _random(random: np.random.RandomState, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("num_batches_tracked") or name == "queue_ptr":
        return np.full(shape, 3, np.int64)
    if name == "queue":
        keys = random.normal(size=shape)
        return (keys / np.linalg.norm(keys, axis=0)).astype(np.float32)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        low, high = (0.0, 0.5) if "prelu" in name else (0.5, 1.5)
        return random.uniform(low, high, shape).astype(np.float32)
    if len(shape) in (2, 4) and name.endswith("weight"):
        fan_in = int(np.prod(shape[1:]))
        return random.normal(0, fan_in**-0.5, shape).astype(np.float32)
    return random.normal(0, 0.2, shape).astype(np.float32)


def random_images(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Normalized images, float64."""
    return np.random.RandomState(seed).normal(size=shape)
