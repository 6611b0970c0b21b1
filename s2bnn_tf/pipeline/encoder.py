"""An encoder in Python: vectors of pictures, measures, conversion and bundles, one call each."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2bnn_tf.data import is_video, load_image, open_all, prepare
from s2bnn_tf.errors import DataError, ModelError
from s2bnn_tf.evaluation import evaluate_knn, evaluate_linear
from s2bnn_tf.export import bundle, convert_run
from s2bnn_tf.image_size import ImageSize, describe_size, height_width
from s2bnn_tf.pipeline.own_errors import own_errors
from s2bnn_tf.progress import Progress
from s2bnn_tf.reading import read_json
from s2bnn_tf.teachers import locate_model, open_model
from s2bnn_tf.vectors import unit_length

Images = ArrayLike | Iterable[ArrayLike | str | Path]
_BATCH = 256


class FittedEncoder:
    """An encoder of images, opened from whatever `s2bnn_tf.load` takes.

    Attributes:
        path: What it was opened from.
        image_size: The side of its input in pixels, or height and width.
        channels: The channels of its input: 3 for RGB, 1 for gray.
        feature_dim: The number of features D.
        results: What `fit` has measured; empty for other runs and files.

    Args:
        path: The directory, file or name.
        **options: What `s2bnn_tf.teachers.open_model` takes for files.

    Raises:
        UserError: If there is no encoder, or it is damaged.
    """

    def __init__(self, path: str | Path, **options: Any):
        self.path = Path(path)
        self._encoder: Any = open_model(path, **options)
        self.image_size: ImageSize = self._encoder.image_size
        self.channels: int = self._encoder.channels
        self.feature_dim: int = self._encoder.feature_dim
        self.results: dict[str, Any] = {}
        if (self.path / "fit.json").is_file():
            self.results = read_json(self.path / "fit.json", cure="run `s2bnn fit` again")

    def features(self, images: Images) -> NDArray[np.float32]:
        """Compute features as they come.

        Args:
            images: An array (N, H, W, 3) uint8, or a sequence of picture files and arrays
                (H, W, 3). An array of the network's own size is used as it is; anything else is
                scaled and cropped as `s2bnn embed` does with a file. Gray arrays (N, H, W) and
                (N, H, W, 1) are taken as well; what has other channels than the network becomes
                gray, or is repeated. A folder, a video or another source that `s2bnn fit` takes
                stands for all of its pictures, in the order of `s2bnn_tf.data.open_all`.

        Returns:
            float32 `(N, D)`, a row for each picture.

        Raises:
            DataError: If an array is no image in bytes, or a file cannot be read.
        """
        parts = [np.zeros((0, self.feature_dim), np.float32)]
        left = _each(images)
        with own_errors():
            while batch := [self._prepare(*image) for image in islice(left, _BATCH)]:
                parts.append(self._encoder.features(np.stack(batch).astype(np.float32)))
        result: NDArray[np.float32] = np.concatenate(parts)
        return result

    def embed(self, images: Images) -> NDArray[np.float32]:
        """Compute features of unit length, whose products are cosines; see `features`."""
        return unit_length(self.features(images))

    def evaluate(self, data: str | Path | None = None) -> dict[str, float]:
        """Measure the accuracy of nearest neighbors and of a linear probe.

        Args:
            data: Labeled images, as for `open_source`; defaults to those it was trained on.

        Returns:
            `knn` and `linear`, 0 to 1.

        Raises:
            DataError: If the images have no labels.
        """
        source = None if data is None else str(data)
        with own_errors():
            return {
                name: float(measure(self.path, source, encoder=self._encoder)["top1"])
                for name, measure in (("knn", evaluate_knn), ("linear", evaluate_linear))
            }

    def convert(self, output: str | Path, head: str = "none") -> dict[str, Any]:
        """Convert to a verified `.tflite`, and return its card; see `convert_run`."""
        with own_errors():
            return convert_run(self._run(), output, head=head)

    def bundle(
        self,
        output: str | Path,
        target: str = "linux-aarch64",
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Write what a device needs, and return its card; see `s2bnn_tf.export.bundle`."""
        with own_errors():
            return bundle(self._run(), output, target=target, progress=progress)

    def __repr__(self) -> str:
        text = f"FittedEncoder({str(self.path)!r}: {self._sizes()}"
        knn = (self.results.get("knn") or {}).get("student")
        return text + (f", kNN {100 * knn:.1f} %)" if knn is not None else ")")

    def _repr_html_(self) -> str:
        """What a notebook shows: the sizes, and what was measured beside what to beat."""
        lines = [f"<b>{html.escape(str(self.path))}</b>: {self._sizes()}"]
        rows = []
        others = ("teacher", "starter", "untrained", "pixels_8x8", "pixels_32x32")
        for name in ("student", "tflite", *others):
            shares = [(self.results.get(m) or {}).get(name) for m in ("knn", "linear")]
            if shares != [None, None]:
                cells = "".join(f"<td>{_percent(share)}</td>" for share in shares)
                rows.append(f"<tr><td>{name.replace('_', ', ')}</td>{cells}</tr>")
        if rows:
            head = "<tr><th></th><th>kNN</th><th>linear probe</th></tr>"
            lines.append(f"<table>{head}{''.join(rows)}</table>")
        kept = self.results.get("neighbors_kept")
        if kept:
            lines.append(
                f"The student keeps {_percent(kept['top1'])} of its teacher's nearest neighbors."
            )
        report = (self.results.get("paths") or {}).get("report")
        if report:
            lines.append(f"Report: <code>{html.escape(report)}</code>")
        return "".join(f"<div>{line}</div>" for line in lines)

    def _sizes(self) -> str:
        gray = " gray" if self.channels == 1 else ""
        return f"{describe_size(self.image_size)}{gray} pixels to {self.feature_dim} features"

    def _run(self) -> Path:
        run = locate_model(self.path)
        if not run.is_dir():
            raise ModelError(
                f"{run} is no run directory, which alone can be converted; open the run."
            )
        return run

    def _prepare(self, pixels: NDArray[Any], is_file: bool) -> NDArray[np.uint8]:
        if pixels.ndim == 2:
            pixels = pixels[..., np.newaxis]
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.dtype != np.uint8:
            raise DataError(
                "An image is an array (H, W, 3) of uint8, or gray, (H, W) or (H, W, 1), not "
                f"{pixels.shape} of {pixels.dtype}; convert it, or give the path of its file."
            )
        shape = (*height_width(self.image_size), self.channels)
        own_size = not is_file and pixels.shape[:2] == shape[:2]
        if own_size and pixels.shape == shape:
            return pixels
        if pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)
        return prepare(pixels, shape, 1.0 if own_size else self._encoder.center_crop)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _each(images: Images) -> Iterator[tuple[NDArray[Any], bool]]:
    """The pixels of each picture, and whether they come from a file."""
    if isinstance(images, np.ndarray) and images.ndim == 3 and images.shape[2] in (1, 3):
        raise DataError(
            f"Images are an array (N, H, W, 3), not {images.shape}; write images[np.newaxis]."
        )
    for image in [images] if isinstance(images, (str, Path)) else cast(Iterable[Any], images):
        if not isinstance(image, (str, Path)):
            yield np.asarray(image), False
        elif Path(image).is_file() and not is_video(Path(image)):
            yield load_image(image), True
        else:
            for source in open_all([image]):
                yield from ((source.read(index), True) for index in range(len(source)))
