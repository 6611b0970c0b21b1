"""An encoder's `.tflite` applied to picture files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.ahead import ahead
from s2bnn_runtime.errors import PictureError, S2bnnError, one_line
from s2bnn_runtime.files import open_model
from s2bnn_runtime.images import KEPT_BY_CENTER_CROP, as_input, read_picture, takes_a_picture
from s2bnn_runtime.metadata import space_in
from s2bnn_runtime.reading import read_bytes, read_json
from s2bnn_runtime.regions import Regions

_CENTER = Regions()


@dataclass(frozen=True)
class Seen:
    """What an encoder makes of a picture, or of T parts of it.

    Attributes:
        parts: The parts that the network saw, each uint8 `(H, W, 3)`.
        features: One vector for each part, `(T, D)`.
        maps: The features of places, `(T, h, w, C)`, or None if the model returns none.
    """

    parts: list[NDArray[np.uint8]]
    features: NDArray[np.float32]
    maps: NDArray[np.float32] | None


class Embedder:
    """An encoder's `.tflite` applied to picture files.

    The model returns one vector for an image, one map, or both. If it returns a map alone, the
    vector is the mean of the map. If there is a JSON card beside the model, it defines the crop.

    Args:
        model: The `.tflite`.
        threads: The number of threads for one prediction.

    Raises:
        S2bnnError: If the model or its card cannot be used.
    """

    def __init__(self, model: Path, threads: int = 1) -> None:
        self.model = model
        self.interpreter = open_model(model, threads)
        details = self.interpreter.input_details
        if not takes_a_picture(details):
            raise S2bnnError(f"{model} does not take one RGB or gray image")
        self.detail = details[0]
        ranks = sorted(len(detail["shape"]) for detail in self.interpreter.output_details)
        if ranks not in ([2], [4], [2, 4]):
            raise S2bnnError(f"{model} does not return one vector or map per image")
        self.has_map = 4 in ranks
        card = model.with_suffix(".json")
        content = read_json(card) if card.is_file() else {}
        self.kept = _kept_by(card, content)
        self._space = content.get("space")

    @property
    def space(self) -> str:
        """The name of the space of the embeddings, which models may share.

        It is in the card and in the file; otherwise it is the file's SHA-256. Embeddings of
        different spaces cannot be compared.
        """
        if not isinstance(self._space, str) or not self._space:
            content = read_bytes(self.model, limit=2**31)
            self._space = space_in(content) or hashlib.sha256(content).hexdigest()
        return self._space

    def __call__(self, paths: Iterable[Path]) -> NDArray[Any]:
        """The embeddings (N, D) of N picture files.

        Raises:
            PictureError: If one of them cannot be read.
        """
        return np.concatenate([self.see(path).features for path in paths])

    def each(self, paths: Iterable[Path]) -> Iterator[tuple[Path, NDArray[Any] | PictureError]]:
        """The embedding (1, D) of each picture file, or why it cannot be read.

        The next pictures are decoded meanwhile, which takes longer than the network.
        """

        def read(path: Path) -> tuple[Path, list[NDArray[Any]] | PictureError]:
            try:
                return path, self._read(path, _CENTER)[1]  # not the whole picture
            except PictureError as error:
                return path, error

        for path, values in ahead(read, paths):
            if isinstance(values, PictureError):
                yield path, values
            else:
                try:
                    yield path, self._predict(path, values)[0]
                except PictureError as error:
                    yield path, error

    def readable(self, paths: Iterable[Path]) -> tuple[list[Path], NDArray[Any], list[str]]:
        """Embed the pictures that can be read.

        Returns:
            Their paths, their embeddings (N, D), and a sentence about each of the others.

        Raises:
            S2bnnError: If none of them can be read.
        """
        read, embeddings, errors = [], [], []
        for path, found in self.each(paths):
            if isinstance(found, PictureError):
                errors.append(str(found))
            else:
                read.append(path)
                embeddings.append(found)
        if not read:
            raise S2bnnError("; ".join(errors[:3]))
        return read, np.concatenate(embeddings), errors

    def see(self, path: Path, regions: Regions = _CENTER) -> Seen:
        """Look at a picture, or at parts of it.

        Each part is a batch of its own, so that it has the same result beside any others.

        Raises:
            PictureError: If it cannot be read, if the region is not inside of it, or if the model
                gives numbers that are not finite.
        """
        parts, values = self._read(path, regions)
        return Seen(parts, *self._predict(path, values))

    def _read(
        self, path: Path, regions: Regions
    ) -> tuple[list[NDArray[np.uint8]], list[NDArray[Any]]]:
        """The parts of a picture, as in `Seen`, and what the network takes of each."""
        whole = read_picture(path)
        if regions.is_center:
            parts = [_center(whole, tuple(self.detail["shape"][1:3]), self.kept)]
            return parts, [as_input(whole, self.detail, kept=self.kept)]
        parts = regions.cut(whole, path)
        return parts, [as_input(part, self.detail, kept=None) for part in parts]

    def _predict(
        self, path: Path, inputs: list[NDArray[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The features and the maps of a picture's parts, as in `Seen`.

        Raises:
            PictureError: If one of their numbers is not finite.
        """
        vectors: list[NDArray[np.float32]] = []
        maps: list[NDArray[np.float32]] = []
        for values in inputs:
            outputs = self.interpreter.predict(values)
            for output in outputs if isinstance(outputs, list) else [outputs]:
                if not np.isfinite(output).all():
                    raise PictureError(
                        f"{path} gives numbers that are not finite; convert {self.model} again"
                    )
                (vectors if output.ndim == 2 else maps).append(output)
        if not vectors:
            vectors = [map_.mean(axis=(1, 2)) for map_ in maps]
        return np.concatenate(vectors), np.concatenate(maps) if maps else None


def _center(whole: NDArray[np.uint8], shape: tuple[int, ...], kept: float) -> NDArray[np.uint8]:
    """The pixels of a picture that its center crop is made from, up to rounding."""
    shrunk = max(side / (kept * length) for side, length in zip(shape, whole.shape))
    height, width = (max(1, round(side / shrunk)) for side in shape)
    top, left = ((length - side) // 2 for length, side in zip(whole.shape, (height, width)))
    return whole[top : top + height, left : left + width]


def _kept_by(card: Path, content: dict[str, Any]) -> float:
    try:
        kept = content.get("center_crop", KEPT_BY_CENTER_CROP)
        if isinstance(kept, bool) or not 0 < kept <= 1:
            raise ValueError(f"its center_crop is {kept}")
    except (ValueError, TypeError) as error:
        raise S2bnnError(
            f"{card} is not the card of a model ({one_line(error)}); remove it, or convert the "
            "model again"
        ) from error
    return float(kept)
