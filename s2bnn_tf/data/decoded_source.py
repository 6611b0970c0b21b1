"""Images of any size, each decoded when it is needed and processed on its own, in bytes.

tf.data calls the NumPy methods from several threads; Pillow and OpenCV release Python's lock.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data.augment import Augmentation
from s2bnn_tf.data.changes import Changes, change_view, sample_changes
from s2bnn_tf.data.crop import sample_crop_boxes
from s2bnn_tf.data.image_source import CropCenters, CropRandomly, ImageSource, ViewMaker
from s2bnn_tf.data.numpy_op import numpy_op
from s2bnn_tf.data.pictures import failure_reason, to_gray
from s2bnn_tf.data.pixels import resize
from s2bnn_tf.data.seen import prepare
from s2bnn_tf.errors import DataError
from s2bnn_tf.image_size import Shape

logger = logging.getLogger(__name__)

_DRAWN_TOGETHER = 4  # images whose boxes and changes are drawn by the same operations
_NAMED_WHILE_READING = 5

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DecodedSource(ImageSource):
    """Images of any size that are decoded one at a time.

    A subclass implements `__len__`, `select`, `identify`, `contents` and `decode`.

    Attributes:
        sizes: int32 `(N, 2)`, the upright height and width of each image.
    """

    sizes: NDArray[np.int32]

    @abstractmethod
    def decode(
        self, index: int, minimum_size: tuple[float, float] | None = None
    ) -> NDArray[np.uint8]:
        """Decode one image to upright RGB.

        Args:
            index: The number of the image.
            minimum_size: A height and width that suffice. The result may be a smaller version
                of the image, but not smaller than this; None for the full size.

        Returns:
            uint8 `(H, W, 3)`.

        Raises:
            Exception: Whatever the decoder raises; `failure_reason` puts it into words.
        """

    def decode_or_note(
        self, index: int, minimum_size: tuple[float, float] | None, channels: int = 3
    ) -> NDArray[np.uint8] | None:
        """Decode one image as `decode` does, or note why it cannot be read and return None.

        With one channel, the result is gray, uint8 `(H, W)`.
        """
        if self.failure(index) is not None:
            return None
        try:
            image = self.decode(index, minimum_size)
            return image if channels == 3 else to_gray(image)
        except Exception as error:  # noqa: BLE001  a broken file can raise nearly anything
            self.note_failure(index, failure_reason(error))
            if len(self.unreadable) <= _NAMED_WHILE_READING:
                logger.warning("Skipped %s: %s.", self.identify(index), self.failure(index))
            return None

    def measure(self, index: int) -> tuple[int, int]:
        """Return the upright height and width of one image.

        Raises:
            Exception: Whatever the decoder raises; `failure_reason` puts it into words.
        """
        height, width, _ = self.decode(index).shape
        return height, width

    def read(self, index: int) -> NDArray[np.uint8]:
        try:
            return self.decode(index)
        except Exception as error:  # a broken file can raise nearly anything inside a decoder
            reason = failure_reason(error)
            raise DataError(f"Cannot read the image {self.identify(index)}: {reason}.") from error

    def view_maker(self, shape: Shape, augmentation: Augmentation, views: int) -> ViewMaker:
        sizes = tf.constant(self.sizes)

        def make(indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
            crop_seed, view_seed = tf.unstack(tf.random.split(seed), axis=0)
            image_sizes = tf.repeat(tf.gather(sizes, indices), views, axis=0)
            boxes = sample_crop_boxes(
                image_sizes, augmentation.crop_scale, crop_seed, view=shape[:2]
            )
            changes = sample_changes(indices.shape[0] * views, augmentation, view_seed)
            relative = _as_shares(boxes, image_sizes)
            return self._views_op(indices, tf.reshape(relative, (-1, views, 4)), changes, shape)

        return ViewMaker(make, _DRAWN_TOGETHER, in_bytes=True)

    def crop_maker(self, shape: Shape, augmentation: Augmentation, views: int) -> ViewMaker:
        def make(
            indices: tf.Tensor, seed: tf.Tensor, boxes: tf.Tensor, flips: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            changes = sample_changes(indices.shape[0] * views, augmentation, seed)
            changes = changes._replace(mirror=tf.reshape(flips, [-1]))
            return self._views_op(indices, tf.cast(boxes, tf.float64), changes, shape)

        return ViewMaker(make, _DRAWN_TOGETHER, in_bytes=True)

    def image_sizes(self) -> NDArray[np.int32]:
        return self.sizes

    def random_crops(self, shape: Shape, crop_scale: tuple[float, float]) -> CropRandomly:
        sizes = tf.constant(self.sizes)

        def crop(indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            boxes = sample_crop_boxes(tf.gather(sizes, indices), crop_scale, seed, view=shape[:2])
            relative = _as_shares(boxes, tf.gather(sizes, indices))
            return _readable_op(lambda i, b: self._crop(i, b, shape), [indices, relative], shape)

        return crop

    def center_crops(self, shape: Shape, kept: float | None) -> CropCenters:
        def crop(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return _readable_op(lambda i: self._crop_centers(i, shape, kept), [indices], shape)

        return crop

    def _views_op(
        self, indices: tf.Tensor, boxes: tf.Tensor, changes: Changes, shape: Shape
    ) -> tuple[tf.Tensor, ...]:
        """Run `_make_views` inside a graph."""
        batch, views = (indices.shape[0], *shape), boxes.shape[1]
        made = numpy_op(
            lambda index, box, *draws: self._make_views(index, box, Changes(*draws), shape),
            lambda *_: [np.zeros(batch, np.uint8)] * views,
            [indices, boxes, *changes],
            [tf.uint8] * views,
        )
        return tuple(tf.ensure_shape(view, batch) for view in made)

    def _make_views(
        self, indices: Indices, boxes: NDArray[np.float64], changes: Changes, shape: Shape
    ) -> list[NDArray[np.uint8]]:
        """Cut V boxes out of each image and make views of them, decoding each image once.

        A damaged image is replaced by the next readable one, which keeps the batch at its size
        and gives the same batch whenever the same images are damaged.

        Args:
            indices: `(B,)`.
            boxes: `(B, V, 4)`: top, left, height and width of V boxes in each image, as shares
                of it, which hold at any decoded resolution.
            changes: What happens to each crop, `(B * V, ...)`.
            shape: Height, width and channels of the views, `(H, W, C)`.

        Returns:
            V arrays, uint8 `(B, H, W, C)`.

        Raises:
            DataError: If no image of the source can be read.
        """
        count, views, _ = boxes.shape
        result = [np.empty((count, *shape), np.uint8) for _ in range(views)]
        for row, (index, relative) in enumerate(zip(indices, boxes)):
            for view, crop in enumerate(self._read_or_replace(index, relative, shape)):
                changed = change_view(crop, changes.of(row * views + view))
                result[view][row] = changed.reshape(shape)
        return result

    def _crop(
        self, indices: Indices, boxes: NDArray[np.float64], shape: Shape
    ) -> tuple[NDArray[np.uint8], Indices]:
        """Cut one box, of `boxes` `(B, 4)` in shares, out of each image that can be read."""
        each = zip(indices, boxes[:, np.newaxis])
        crops = [self._read_crops(index, box, shape) for index, box in each]
        images = [None if crop is None else crop[0] for crop in crops]
        return _stack_readable(images, indices, shape)

    def _crop_centers(
        self, indices: Indices, shape: Shape, kept: float | None
    ) -> tuple[NDArray[np.uint8], Indices]:
        """Resize each image that can be read, and keep its center."""

        def read(index: int) -> NDArray[np.uint8] | None:
            image = self.decode_or_note(index, None)
            # Pillow gives torchvision's pixels, with which published scores are measured.
            return None if image is None else prepare(image, shape, kept)

        return _stack_readable(list(map(read, indices)), indices, shape)

    def _read_or_replace(
        self, index: int, relative: NDArray[np.float64], shape: Shape
    ) -> list[NDArray[np.uint8]]:
        for step in range(len(self)):
            crops = self._read_crops((index + step) % len(self), relative, shape)
            if crops is not None:
                return crops
        raise DataError(f"None of the images in {self.name} can be read; replace them.")

    def _read_crops(
        self, index: int, relative: NDArray[np.float64], shape: Shape
    ) -> list[NDArray[np.uint8]] | None:
        smallest = relative[:, 2:].min(axis=0)
        enough = shape[0] / smallest[0], shape[1] / smallest[1]
        image = self.decode_or_note(index, enough, shape[2])
        if image is None:
            return None
        boxes = np.round(relative * np.tile(image.shape[:2], 2)).astype(int).tolist()
        last = np.subtract(image.shape[:2], 1).tolist()
        corners = [(min(top, last[0]), min(left, last[1])) for top, left, _, _ in boxes]
        return [
            resize(image[top : top + max(height, 1), left : left + max(width, 1)], shape[:2])
            for (top, left), (_, _, height, width) in zip(corners, boxes)
        ]


def _as_shares(boxes: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Boxes `(B, 4)` in pixels as shares of images of these sizes `(B, 2)`, float64."""
    return tf.cast(boxes, tf.float64) / tf.cast(tf.tile(sizes, (1, 2)), tf.float64)


def _stack_readable(
    images: list[NDArray[np.uint8] | None], indices: Indices, shape: Shape
) -> tuple[NDArray[np.uint8], Indices]:
    """Return the images that are there, uint8 `(M, H, W, C)`, and their indices `(M,)`."""
    kept = [i for i, image in enumerate(images) if image is not None]
    stacked = np.array([images[i] for i in kept], dtype=np.uint8)
    return stacked.reshape(-1, *shape), indices[kept]


def _readable_op(
    read: Callable[..., Any], inputs: list[tf.Tensor], shape: Shape
) -> tuple[tf.Tensor, tf.Tensor]:
    """Run a function that returns images and their indices inside a graph."""

    def blank(indices: Indices, *_: Any) -> tuple[NDArray[np.uint8], Indices]:
        return np.zeros((len(indices), *shape), np.uint8), indices

    images, kept = numpy_op(read, blank, inputs, (tf.uint8, tf.int64))
    images = tf.cast(tf.ensure_shape(images, (None, *shape)), tf.float32)
    return images, tf.ensure_shape(kept, (None,))
