"""Teachers that are ONNX files, exported from any framework: `teacher.weights: FILE.onnx`."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data import channel_statistics
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.image_size import ImageSize, describe_size, height_width, image_size
from s2bnn_tf.teachers.onnx_file import OnnxFile, read_onnx
from s2bnn_tf.teachers.onnx_session import Session, bounded_memory, printable_name
from s2bnn_tf.teachers.onnx_statistics import Statistics, find_statistics

DEFAULT_SIZE = 224  # pixels, of a network that takes any
_PIECE = 8  # images at a time, so that memory does not grow with the batch
_CLOSE = 1e-3  # of the largest value: differences of rounding between batches are far below
_TOKENS = ("class_token", "patches", "class_and_patches")
_LARGEST_SIDE = 4096
_MOST_VALUES = 2**27  # in the input, whatever batch the file names


@dataclass(frozen=True)
class Request:
    """What a recipe wants of a file.

    Attributes:
        output: `embedding` or `features` for the first vector or map, one of `class_token`,
            `patches` and `class_and_patches` of the first tokens, or the name of an output.
        size: Height and width of the input, or None for those of the file.
        mean: Of pixels in 0..1, one or one per channel; None for those of the file.
        std: Likewise.
    """

    output: str = "embedding"
    size: ImageSize | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


class OnnxNetwork:
    """A network of an ONNX file, tried with pictures of its size.

    Attributes:
        path: The file.
        file: What it says about itself.
        image_size: The size of its input.
        channels: The channels of its input, 3 or 1.
        statistics: How pixels become its input.
        feature_dim: The number of features D.
        alone: Whether a picture's features would depend on the others in its batch, so that each
            is computed by itself.
        batch: The number of images that it takes at a time, if it takes no other.
        memory: About the bytes that it takes, as measured, which TensorFlow does not know.

    Args:
        path: The file.
        request: What is wanted of it.

    Raises:
        ConfigError: If the request does not fit the file.
        ModelError: If the file is damaged, or does not turn a picture into features.
    """

    def __init__(self, path: Path, request: Request):
        before = _resident()
        self.path = path
        self.file: OnnxFile = read_onnx(path)
        self._session = Session(self.file)
        self.batch, *sides = self._session.shape
        with bounded_memory(self.file):
            self._nchw, self.channels = self._layout(sides)
        own = sides[1:] if self._nchw else sides[:2]
        self.image_size = self._size(own[0], own[1], request.size)
        self.statistics = self._statistics(request)
        self._output, self._how = "", "vector"
        self._piece = self._images_at_a_time()
        self.alone = "DynamicQuantizeLinear" in self.file.operations
        with bounded_memory(self.file):
            self._try(request.output)
        self.memory = max(_resident() - before, self.file.size_bytes)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute features `(N, D)` of pictures `(N, H, W, C)`, normalized as `statistics` says.

        Raises:
            ModelError: If the network fails, or a feature is not finite.
        """
        piece = 1 if self.alone else self.batch or self._piece
        parts = [self._features(images[i : i + piece]) for i in range(0, len(images), piece)]
        features = np.concatenate(parts) if parts else np.zeros((0, self.feature_dim), np.float32)
        if not np.isfinite(features).all():
            raise ModelError(self._not_finite())
        return features

    def _not_finite(self) -> str:
        return (
            f"{self.path} returns features that are not finite; check teacher.mean and "
            "teacher.std, or export it in float32."
        )

    def _features(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of no more pictures than the network takes at a time."""
        count = len(images)
        if self.batch is not None and count < self.batch:  # of one picture: copies of itself
            images = np.concatenate([images, np.repeat(images[-1:], self.batch - count, axis=0)])
        if self._nchw:
            images = images.transpose(0, 3, 1, 2)
        (output,) = self._session.run(np.ascontiguousarray(images), [self._output])
        if output.ndim < 2 or len(output) != len(images) or output.dtype.kind != "f":
            raise ModelError(
                f"{self.path} returns {output.dtype} {output.shape} for {len(images)} images; "
                "expected one row of floating-point features for each."
            )
        return self._vectors(output)[:count].astype(np.float32)

    def _vectors(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        if output.ndim == 4:
            return np.asarray(output.mean(axis=self._places(output.shape), dtype=np.float32))
        if output.ndim == 3:
            parts = []
            if self._how != "patches":
                parts.append(output[:, 0])
            if self._how != "class_token":
                parts.append(output[:, 1:].mean(axis=1, dtype=np.float32))
            return np.concatenate(parts, axis=1)
        return output

    def _places(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """The axes of a map that are height and width: in its layout, or in that of the input.

        An exporter may add a transposition to the input alone, so the aspect decides.
        """
        high, wide = height_width(self.image_size)
        strangeness = {
            axes: abs(math.log(shape[axes[0]] * wide / (shape[axes[1]] * high)))
            for axes in (((2, 3), (1, 2)) if self._nchw else ((1, 2), (2, 3)))
        }
        return min(strangeness, key=lambda axes: strangeness[axes])

    def _layout(self, sides: list[int | None]) -> tuple[bool, int]:
        """Whether channels come first, and how many there are."""
        if sides[0] in (1, 3):
            return True, int(sides[0] or 0)
        if sides[2] in (1, 3):
            return False, int(sides[2] or 0)
        if sides[0] is not None and sides[2] is not None:
            raise ModelError(
                f"{self.path} takes images with neither 3 nor 1 channels, of "
                f"{tuple(self._session.shape)}; export a network that takes RGB or gray."
            )
        for nchw in (True, False):  # the file does not say: whichever it can compute
            side = DEFAULT_SIZE
            shape = [self.batch or 1, *([3, side, side] if nchw else [side, side, 3])]
            shape = [known or size for known, size in zip(self._session.shape, shape)]
            try:
                self._session.run(np.zeros(shape, np.float32))
            except ModelError:
                continue
            return nchw, 3
        raise ModelError(
            f"{self.path} takes neither images (N, 3, H, W) nor (N, H, W, 3) of {DEFAULT_SIZE} "
            "pixels; export it with a fixed height, width and number of channels."
        )

    def _size(self, height: int | None, width: int | None, asked: ImageSize | None) -> ImageSize:
        own = (height, width)
        wanted = height_width(asked) if asked is not None else (DEFAULT_SIZE, DEFAULT_SIZE)
        size = tuple(side if side is not None else other for side, other in zip(own, wanted))
        if asked is not None and size != wanted:
            raise ConfigError(
                f"teacher.image_size: {self.path} takes images of {describe_size(size)} pixels "
                f"alone, not {describe_size(wanted)}; leave the key out."
            )
        if max(size) > _LARGEST_SIDE:
            raise ModelError(
                f"{self.path} takes images of {describe_size(size)} pixels; expected at most "
                f"{_LARGEST_SIDE}."
            )
        return image_size(size)

    def _images_at_a_time(self) -> int:
        """As many as a file that takes any number of them is given."""
        values = math.prod(height_width(self.image_size)) * self.channels
        if (self.batch or 1) * values > _MOST_VALUES:
            raise ModelError(
                f"{self.path} takes {self.batch} images of {describe_size(self.image_size)} pixels "
                "at a time, which is too many; export it with a smaller batch, or with any."
            )
        return min(_PIECE, _MOST_VALUES // values)

    def _statistics(self, request: Request) -> Statistics:
        found = find_statistics(self.file, bytes_taken=self._session.dtype == np.uint8)
        if found.source == "ImageNet" and self.channels == 1:
            found = Statistics(*channel_statistics(1), "ImageNet", found.reverse)
        for name, given in (("mean", request.mean), ("std", request.std)):
            if given is not None and len(given) not in (1, self.channels):
                raise ConfigError(
                    f"teacher.{name}: {self.path} has {self.channels} channel"
                    f"{'s' * (self.channels > 1)}, not {len(given)}."
                )
        if request.mean is None and request.std is None:
            return found
        return Statistics(
            request.mean or found.mean, request.std or found.std, "recipe", found.reverse
        )

    def _try(self, wanted: str) -> None:
        """Choose the output, and find out whether pictures are independent of their batch."""
        high, wide = height_width(self.image_size)
        shape = (self.batch or self._piece, high, wide, self.channels)
        images = np.random.default_rng(0).standard_normal(shape, np.float32)
        images *= np.linspace(0.2, 2.0, len(images), dtype=np.float32)[:, None, None, None]
        if self._session.dtype == np.uint8:
            images = 60 * images + 128
        single = images.transpose(0, 3, 1, 2) if self._nchw else images
        single = single if self.batch is not None else single[:1]
        outputs = self._session.run(np.ascontiguousarray(single))
        self._choose([output.ndim for output in outputs], wanted)
        try:
            rows = self._features(images)
        except ModelError:
            if self.batch is not None:
                raise
            self.batch = 1  # its shape says any, and it computes with one
            rows = self._features(images[:1])
        if not np.isfinite(rows).all():
            raise ModelError(self._not_finite())
        self.feature_dim = rows.shape[1]
        if len(rows) > 1 and not self.alone:
            alone = self._features(images[:1])
            self.alone = bool(np.abs(rows[0] - alone[0]).max() > _CLOSE * np.abs(alone).max())

    def _choose(self, ranks: list[int], wanted: str) -> None:
        names = self._session.outputs
        rank_of = dict(zip(names, ranks))
        self._how = wanted if wanted in _TOKENS else "class_token"
        if wanted in rank_of:
            chosen = [wanted] if rank_of[wanted] in (2, 3, 4) else []
        elif wanted in _TOKENS:
            chosen = [name for name in names if rank_of[name] == 3]
        elif wanted in ("embedding", "features"):
            chosen = [name for rank in (2, 4) for name in names if rank_of[name] == rank]
        else:
            chosen = []
        if chosen:
            self._output = chosen[0]
            return
        have = ", ".join(f"{printable_name(n)} with {rank_of[n]} dimensions" for n in names[:8])
        raise ConfigError(
            f"teacher.output: {self.path} has no {wanted!r:.80} of features; it has {have}. Name "
            "an output with 2 or 4, or set class_token or patches for one with 3, which are tokens."
        )


@functools.lru_cache(maxsize=1)
def _opened(path: Path, request: Request, _state: tuple[tuple[int, int], ...]) -> OnnxNetwork:
    return OnnxNetwork(path, request)


def open_onnx(path: str | Path, request: Request = Request()) -> OnnxNetwork:  # noqa: B008
    """Open an ONNX file, or return the network if it was the last one that was opened.

    A fit asks for its teacher several times, and opening a large file takes seconds.

    Raises:
        ConfigError: As from `OnnxNetwork`.
        ModelError: As from `OnnxNetwork`.
    """
    path = Path(path)
    try:
        status = path.stat()
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error
    return _opened(path.absolute(), request, ((status.st_mtime_ns, status.st_size),))


def _resident() -> int:
    """The bytes of memory that this process has; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * 4096
