"""Small images of one size in memory, processed in batches by TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data.augment import Augmentation, augment_view
from s2bnn_tf.data.crop import random_resized_crop, resized_crop
from s2bnn_tf.data.image_source import CropCenters, CropRandomly, ImageSource, ViewMaker
from s2bnn_tf.data.order import most_in_a_chunk
from s2bnn_tf.data.pictures import center_offset, covering_shape, to_gray
from s2bnn_tf.data.resample import interpolation_matrix, resample
from s2bnn_tf.image_size import Shape

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, eq=False)
class ArraySource(ImageSource):
    """Images of one size in memory.

    Attributes:
        images: RGB, uint8 `(N, H, W, 3)`.
    """

    images: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def bytes_in_memory(self) -> int:
        """The bytes of the array, and of the tensor that training makes of it."""
        return 2 * self.images.nbytes

    def read(self, index: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self.images[index]
        return image

    def select(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> Self:
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(self, labels=self.select_labels(chosen), images=self.images[chosen])

    def identify(self, index: int) -> int:
        return int(index)

    def contents(self) -> Iterator[bytes]:
        yield repr(self.images.shape).encode()
        yield np.ascontiguousarray(self.images).tobytes()

    def view_maker(self, shape: Shape, augmentation: Augmentation, views: int) -> ViewMaker:
        pixels, size = self._pixels(shape), shape[:2]

        def make(indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
            crop_seed, view_seed = tf.unstack(tf.random.split(seed), axis=0)
            # Two views of B images are one batch of 2 B: half the operations, half the overhead.
            chosen = tf.gather(pixels, tf.tile(indices, [views]))
            crops = random_resized_crop(chosen, size, augmentation.crop_scale, crop_seed)
            return tuple(tf.split(augment_view(crops, augmentation, view_seed), views))

        return ViewMaker(make, most_in_a_chunk(math.prod(shape) * views), in_bytes=False)

    def crop_maker(self, shape: Shape, augmentation: Augmentation, views: int) -> ViewMaker:
        pixels, size = self._pixels(shape), shape[:2]
        sides = tf.constant(2 * self.images.shape[1:3], tf.float32)
        still = replace(augmentation, flip_probability=0.0)

        def make(
            indices: tf.Tensor, seed: tf.Tensor, boxes: tf.Tensor, flips: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            chosen = tf.gather(pixels, tf.tile(indices, [views]))
            placed = tf.round(tf.reshape(tf.transpose(boxes, (1, 0, 2)), (-1, 4)) * sides)
            corners, sizes = placed[:, :2], tf.maximum(placed[:, 2:], 1.0)
            corners = tf.minimum(corners, sides[:2] - 1.0)
            sizes = tf.minimum(sizes, sides[:2] - corners)
            crops = resized_crop(chosen, tf.concat([corners, sizes], axis=1), size)
            changed = augment_view(crops, still, seed)
            mirrored = tf.reshape(tf.transpose(flips), (-1, 1, 1, 1))
            return tuple(tf.split(tf.where(mirrored, changed[:, :, ::-1], changed), views))

        return ViewMaker(make, most_in_a_chunk(math.prod(shape) * views), in_bytes=False)

    def image_sizes(self) -> NDArray[np.int32]:
        return np.full((len(self.images), 2), self.images.shape[1:3], np.int32)

    def random_crops(self, shape: Shape, crop_scale: tuple[float, float]) -> CropRandomly:
        pixels, size = self._pixels(shape), shape[:2]

        def crop(indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return random_resized_crop(tf.gather(pixels, indices), size, crop_scale, seed), indices

        return crop

    def center_crops(self, shape: Shape, kept: float | None) -> CropCenters:
        pixels, lengths = self._pixels(shape), self.images.shape[1:3]
        whole = shape[:2] if kept is None else covering_shape(lengths, shape[:2], kept)
        matrices = []
        for length, resized, size in zip(lengths, whole, shape):
            box = tf.zeros(1), tf.constant([float(length)])
            matrix = interpolation_matrix(*box, length, resized)
            offset = center_offset(resized, size)
            matrices.append(matrix[:, offset : offset + size])

        def crop(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return resample(tf.gather(pixels, indices), *matrices), indices

        return crop

    def _pixels(self, shape: Shape) -> tf.Tensor:
        """All images, with the channels of a shape."""
        return self._colored if shape[2] == 3 else self._gray

    # Once for all datasets of this source: training and its monitors would each hold a copy.
    @cached_property
    def _colored(self) -> tf.Tensor:
        with tf.init_scope():
            return tf.convert_to_tensor(self.images)

    @cached_property
    def _gray(self) -> tf.Tensor:
        gray = np.stack([to_gray(image) for image in self.images])[..., np.newaxis]
        with tf.init_scope():
            return tf.convert_to_tensor(gray)
