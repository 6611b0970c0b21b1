"""What is normal, learned from normal pictures alone, and how unusual another picture is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.embedder import Seen
from s2bnn_runtime.errors import S2bnnError
from s2bnn_runtime.files import write_arrays
from s2bnn_runtime.gaussian import Gaussian
from s2bnn_runtime.patch_memory import PatchMemory
from s2bnn_runtime.reading import Wanted, match, read_arrays
from s2bnn_runtime.regions import MOST_TILES, Box, Regions
from s2bnn_runtime.thresholds import FEWEST, check_rate, choose_threshold

METHODS: dict[str, type[Gaussian] | type[PatchMemory]] = {
    "gaussian": Gaussian,
    "patches": PatchMemory,
}
_ARRAYS: dict[str, Wanted] = {
    "method": (np.str_, ()),
    "space": (np.str_, ()),
    "roi": (np.integer, ("sides",)),
    "tiles": (np.integer, ()),
    "false_alarms": (np.floating, ()),
    "threshold": (np.floating, ()),
    "held_out": (np.floating, ("pictures",)),
}
_DETECTORS: dict[str, dict[str, Wanted]] = {
    "gaussian": {
        "mean": (np.floating, ("D",)),
        "directions": (np.floating, ("K", "D")),
        "variances": (np.floating, ("K",)),
        "rest": (np.floating, (1,)),
    },
    "patches": {"places": (np.floating, ("M", "C"))},
}
_FOLDS = 10
_SAME = 1e-4  # pictures whose features differ by less, relative to their length, are the same


@dataclass(frozen=True)
class Normal:
    """What is normal.

    Attributes:
        method: A key of `METHODS`.
        detector: What was learned.
        regions: What of each picture is looked at.
        space: The space of the embeddings; see `Embedder.space`.
        false_alarms: The rate at which the threshold was chosen.
        threshold: A picture with a higher score is unusual.
        held_out: The scores of the normal pictures, each by what was learned without it, `(N,)`.
    """

    method: str
    detector: Gaussian | PatchMemory
    regions: Regions
    space: str
    false_alarms: float
    threshold: float
    held_out: NDArray[np.float64]

    def heat(self, seen: Seen) -> NDArray[np.float64]:
        """How unusual each place of a picture is; of a Gaussian each tile, `(H, W)`.

        Raises:
            S2bnnError: If that is no finite number.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # which the result shows
            heat = self.regions.grid(self.detector.heat(sample_of(self.method, seen)))
        if not np.isfinite(heat).all():
            raise S2bnnError("the scores are not finite; learn again with `s2bnn-run normal`")
        return heat

    def score(self, seen: Seen) -> float:
        """How unusual a picture is: the largest of all its places and tiles."""
        return float(self.heat(seen).max())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one .npz of plain arrays, whole or not at all.

        Raises:
            S2bnnError: If the file cannot be written.
        """
        arrays: dict[str, Any] = {
            "method": self.method,
            "space": self.space,
            "roi": np.array(self.regions.roi or (), np.int64),
            "tiles": self.regions.tiles,
            "false_alarms": self.false_alarms,
            "threshold": self.threshold,
            "held_out": self.held_out,
        }
        write_arrays(path, {**arrays, **vars(self.detector)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Normal:
        """Read a file that `save` wrote. Nothing in the file is executed.

        Raises:
            S2bnnError: If the file cannot be read or is of another kind.
        """
        arrays = read_arrays(path)
        try:
            method = str(arrays["method"])
            if not match(arrays, _ARRAYS | _DETECTORS[method]):
                raise ValueError("its arrays do not match")
            roi = tuple(int(side) for side in arrays["roi"])
            tiles = int(arrays["tiles"])
            detector = _detector(method, arrays)
            found = cls(
                method,
                detector,
                Regions(_box(roi), tiles),
                str(arrays["space"]),
                float(arrays["false_alarms"]),
                float(arrays["threshold"]),
                arrays["held_out"].astype(np.float64),
            )
            choose_threshold(found.held_out, found.false_alarms)  # which checks both
            if not (1 <= tiles <= MOST_TILES and np.isfinite(found.threshold)):
                raise ValueError("its numbers make no sense")
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise S2bnnError(
                f"{path} does not hold what is normal; `s2bnn-run normal` makes such a file"
            ) from error
        return found


def sample_of(method: str, seen: Seen) -> NDArray[np.float32]:
    """What a method learns from: the features `(T, D)`, or the maps `(T, h, w, C)`."""
    if method == "gaussian":
        return seen.features
    if seen.maps is None:
        raise S2bnnError(
            "the model returns no map of places; convert it with --head features+map, or use "
            "--method gaussian"
        )
    return seen.maps


def learn(
    samples: list[NDArray[np.float32]],
    method: str,
    *,
    regions: Regions,
    space: str,
    false_alarms: float,
) -> tuple[Normal, list[int]]:
    """Learn what is normal, and choose a threshold by cross-validation.

    Pictures that are the same count once: held out, they would be no test.

    Args:
        samples: The result of `sample_of` for each normal picture.
        method: A key of `METHODS`.
        regions: What of each picture they are from.
        space: The space of the embeddings.
        false_alarms: The share of further normal pictures that may be called unusual.

    Returns:
        What is normal, and the numbers of the pictures that it was learned from.

    Raises:
        S2bnnError: If the pictures are too few or the same, or the rate is no share.
    """
    check_rate(false_alarms)
    kept = _distinct(samples)
    if len(kept) < FEWEST:
        said = f"{len(samples)} normal pictures"
        if len(samples) >= FEWEST:
            said += f" with only {len(kept)} that differ"
        said = "one normal picture is" if len(samples) == 1 else f"{said} are"
        raise S2bnnError(f"{said} too few; name at least {FEWEST} that differ as normal ones do")
    different = [samples[number] for number in kept]
    order = np.random.default_rng(0).permutation(len(kept))
    folds = np.array_split(order, min(_FOLDS, len(kept)))
    held_out = np.zeros(len(kept))
    for fold in folds:
        rest = np.setdiff1d(order, fold)
        detector = METHODS[method].fit([different[number] for number in rest])
        for number in fold:
            held_out[number] = detector.heat(different[number]).max()
    normal = Normal(
        method,
        METHODS[method].fit(different),
        regions,
        space,
        false_alarms,
        choose_threshold(held_out, false_alarms),
        held_out,
    )
    return normal, kept


def _distinct(samples: list[NDArray[np.float32]]) -> list[int]:
    """The numbers of the pictures that differ from all before them.

    Raises:
        S2bnnError: If a number is not finite.
    """
    means = [sample.reshape(len(sample), -1, sample.shape[-1]).mean(axis=1) for sample in samples]
    rows = np.stack([mean.reshape(-1) for mean in means]).astype(np.float64)
    if not np.isfinite(rows).all():
        raise S2bnnError("the model's output is not finite; convert it again")
    kept: list[int] = []
    for number, row in enumerate(rows):
        distances = np.linalg.norm(rows[kept] - row, axis=1)
        if not kept or distances.min() > _SAME * max(float(np.linalg.norm(row)), 1e-12):
            kept.append(number)
    return kept


def _detector(method: str, arrays: dict[str, NDArray[Any]]) -> Gaussian | PatchMemory:
    if method == "patches":
        places = arrays["places"].astype(np.float32)
        if not places.size or not np.isfinite(places).all():
            raise ValueError("its places make no sense")
        return PatchMemory(places)
    names = ("mean", "directions", "variances", "rest")
    mean, directions, variances, rest = (arrays[name].astype(np.float64) for name in names)
    if not (
        all(np.isfinite(values).all() for values in (mean, directions, variances, rest))
        and (variances > 0).all()
        and rest[0] > 0
    ):
        raise ValueError("its Gaussian makes no sense")
    return Gaussian(mean, directions, variances, rest)


def _box(roi: tuple[int, ...]) -> Box | None:
    if not roi:
        return None
    left, top, width, height = roi
    if min(left, top) < 0 or min(width, height) < 1:
        raise ValueError("its region makes no sense")
    return left, top, width, height
