"""What `s2bnn-run normal` learned as C: a Gaussian of features, or a memory of places."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import ModelError
from s2bnn_tf.export.c_source.constants import Constants, float_literal
from s2bnn_tf.export.c_source.parts import Function, device_errors, open_encoder, space_of
from s2bnn_tf.tflite import TFLiteEncoder

if TYPE_CHECKING:
    from s2bnn_runtime.normal import Normal

_USAGE = {
    "gaussian": "`@NAME@_unusual(@VECTOR@, &score)` of `@NAME@_normal.h` is 1 if the picture is\n"
    "   unusual, otherwise 0.",
    "patches": "`@NAME@_unusual_map(@MAP@, &score)` of `@NAME@_normal.h` is 1 if a place of\n"
    "   the picture is unusual, otherwise 0.",
}


@dataclass(frozen=True)
class NormalPart:
    """What the C source of `normal` is written from.

    Attributes:
        method: `"gaussian"` for whole pictures, `"patches"` for places.
        threshold: A picture with a higher score is unusual.
        roi: Left, top, width and height of what is looked at, in pixels of the camera's picture,
            or None for the center.
        tiles: The tiles along each side of it, whose largest score is the picture's.
        numbers: The fields of the structure in C before its arrays.
        arrays: Its arrays, by the names of the constants.
        channels: The numbers of an embedding, or of a place.
    """

    method: str
    threshold: float
    roi: tuple[int, int, int, int] | None
    tiles: int
    numbers: list[str]
    arrays: dict[str, NDArray[Any]]
    channels: int

    key: ClassVar[str] = "normal"

    @property
    def usage(self) -> str:
        """See `Part`."""
        return _USAGE[self.method]

    def describe(self) -> dict[str, Any]:
        """See `Part`."""
        return {
            "method": self.method,
            "threshold": round(self.threshold, 6),
            "roi": self.roi,
            "tiles": self.tiles,
            "flash_bytes": sum(values.nbytes for values in self.arrays.values()),
            "ram_bytes": 0,
        }

    def macros(self, macro: str) -> list[str]:
        """See `Part`."""
        lines = [f"#define {macro}_NORMAL_THRESHOLD {float_literal(self.threshold)}"]
        if self.roi is not None:
            box = ", ".join(map(str, self.roi))
            lines += [
                "/* What is looked at, resized to the input whole: left, top, width and height. */",
                f"#define {macro}_NORMAL_ROI {{{box}}}",
            ]
        return [
            *lines,
            "/* How many tiles along each side are looked at one by one, each resized to the input",
            " * whole; the largest of their scores is that of the picture. 1: the picture. */",
            f"#define {macro}_NORMAL_TILES {self.tiles}",
        ]

    def functions(self, name: str) -> list[Function]:
        """See `Part`."""
        if self.method == "gaussian":
            declaration = f"int {name}_unusual(const float* embedding, float* score)"
            return [(declaration, "return s2bnn_unusual(&normal, embedding, score);")]
        body = f"\n  float place[{self.channels}];\n"
        body += "  return s2bnn_unusual_map(&normal, map, place, score);\n"
        return [(f"int {name}_unusual_map(const float* map, float* score)", body)]

    def code(self) -> list[str]:
        """See `Part`."""
        constants = Constants()
        names = [constants.add(name, values) for name, values in self.arrays.items()]
        kind = "s2bnn_gaussian" if self.method == "gaussian" else "s2bnn_places"
        return [
            *constants.lines,
            f"static const {kind} normal = {{{', '.join(self.numbers)},",
            f"    {', '.join(names)}}};",
        ]


def read_normal(path: str | Path, *, model: str | Path) -> NormalPart:
    """Read what `s2bnn-run normal` wrote.

    Args:
        path: The .npz.
        model: The `.tflite` that it was learned with.

    Raises:
        DeviceError: If the runtime is not installed, or the file cannot be read.
        ModelError: If it was learned with another network.
    """
    with device_errors("--normal", path):
        from s2bnn_runtime.normal import Normal

        normal = Normal.load(path)
    encoder = TFLiteEncoder(model)
    if normal.space != space_of(encoder):
        raise ModelError(
            f"{path} was learned with another network than {model}: learn again with `s2bnn-run "
            "normal`."
        )
    if normal.method == "gaussian":
        return _gaussian(path, normal, open_encoder(model, "whole pictures need a vector"))
    return _patches(path, normal, encoder)


def _gaussian(path: str | Path, normal: Normal, encoder: TFLiteEncoder) -> NormalPart:
    found: Any = normal.detector
    _check_size(path, len(found.mean), encoder.feature_dim)
    numbers = [str(len(found.mean)), str(len(found.variances)), float_literal(normal.threshold)]
    arrays = {
        "mean": found.mean.astype(np.float32),
        "directions": found.directions.astype(np.float32),
        "inverse_variances": (1 / found.variances).astype(np.float32),
    }
    return NormalPart(
        "gaussian",
        normal.threshold,
        normal.regions.roi,
        normal.regions.tiles,
        [*numbers, float_literal(1 / float(found.rest[0]))],
        arrays,
        len(found.mean),
    )


def _patches(path: str | Path, normal: Normal, encoder: TFLiteEncoder) -> NormalPart:
    found: Any = normal.detector
    if encoder.map_shape is None:
        raise ModelError(
            f"{encoder.path} gives no map, and {path} holds places: convert it with --head "
            "features+map."
        )
    rows, columns, channels = encoder.map_shape
    places = found.places.astype(np.float64)
    _check_size(path, places.shape[1], channels)
    center = (places.max(axis=0) + places.min(axis=0)) / 2
    steps = np.abs(places - center).max(axis=0) / 127
    whole = np.round((places - center) / np.where(steps > 0, steps, 1))
    numbers = [str(size) for size in (rows, columns, channels, len(places))]
    return NormalPart(
        "patches",
        normal.threshold,
        normal.regions.roi,
        normal.regions.tiles,
        [*numbers, float_literal(normal.threshold)],
        {
            "places": whole.astype(np.int8),
            "center": center.astype(np.float32),
            "steps": steps.astype(np.float32),
        },
        channels,
    )


def _check_size(path: str | Path, size: int, wanted: int) -> None:
    if size != wanted:
        raise ModelError(
            f"{path} is of {size} numbers, and the network gives {wanted}: learn again with "
            "`s2bnn-run normal`."
        )
