"""Crops that are drawn once and used again, for targets that are computed once for each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data.augment import Augmentation
from s2bnn_tf.data.crop import sample_crop_boxes
from s2bnn_tf.data.image_source import ImageSource, ViewMaker
from s2bnn_tf.data.order import CROPS, fold_seed
from s2bnn_tf.image_size import ImageSize, Shape

_DRAWN_TOGETHER = 4096  # images

MakeFromCrops = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]


@dataclass(frozen=True, eq=False)
class Crops:
    """K crops of each of N images.

    Attributes:
        boxes: float32 `(N, K, 4)`: top, left, height and width as shares of the image.
        flips: bool `(N, K)`: whether left and right are exchanged.
    """

    boxes: NDArray[np.float32]
    flips: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """The number of crops of each image, K."""
        return int(self.boxes.shape[1])


def draw_crops(
    source: ImageSource, augmentation: Augmentation, count: int, *, seed: int, view: ImageSize
) -> Crops:
    """Draw crops of every image, as `view_dataset` draws those of a batch.

    Args:
        source: The N images.
        augmentation: Whose `crop_scale` and `flip_probability` count.
        count: The number of crops of each image, K.
        seed: The seed, any integer.
        view: The size of the views that the crops become, of which the aspect counts.

    Returns:
        The crops.
    """
    boxes, flips = [], []
    sizes = source.image_sizes()
    for number, first in enumerate(range(0, len(sizes), _DRAWN_TOGETHER)):
        part = np.repeat(sizes[first : first + _DRAWN_TOGETHER], count, axis=0)
        drawn, mirrored = _draw(
            tf.constant(part), augmentation, fold_seed(seed, CROPS, number), view
        )
        boxes.append(drawn.numpy().reshape(-1, count, 4))
        flips.append(mirrored.numpy().reshape(-1, count))
    return Crops(np.concatenate(boxes), np.concatenate(flips))


def views_of_crops(
    source: ImageSource, shape: Shape, augmentation: Augmentation, views: int, crops: Crops
) -> tuple[MakeFromCrops, ViewMaker]:
    """Return how views are made whose first one is a given crop; the others are drawn.

    Args:
        source: The images.
        shape: Height, width and channels of the views.
        augmentation: How the colors of all views change, and how the other views are drawn.
        views: The number of views of each image.
        crops: The crops of the images.

    Returns:
        A function from indices `(B,)`, a seed and places `(B,)` to `views` tensors, and the maker
        that it calls. The place of crop k of image i is `i * K + k`.
    """
    maker = source.crop_maker(shape, augmentation, views)
    boxes = tf.constant(crops.boxes.reshape(-1, 4))
    flips = tf.constant(crops.flips.reshape(-1))
    sizes = tf.constant(source.image_sizes())

    def make(indices: tf.Tensor, seed: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, ...]:
        crop_seed, view_seed = tf.unstack(tf.random.split(seed), axis=0)
        chosen, mirrored = tf.gather(boxes, places)[:, None], tf.gather(flips, places)[:, None]
        if views > 1:
            others = tf.repeat(tf.gather(sizes, indices), views - 1, axis=0)
            drawn, turned = _draw(others, augmentation, crop_seed, shape[:2])
            chosen = tf.concat([chosen, tf.reshape(drawn, (-1, views - 1, 4))], axis=1)
            mirrored = tf.concat([mirrored, tf.reshape(turned, (-1, views - 1))], axis=1)
        return maker.make(indices, view_seed, chosen, mirrored)

    return make, maker


def _draw(
    sizes: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor, view: ImageSize
) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes in shares, float32 `(B, 4)`, and flips `(B,)`, for images of these sizes `(B, 2)`."""
    crop_seed, flip_seed = tf.unstack(tf.random.split(seed), axis=0)
    boxes = sample_crop_boxes(sizes, augmentation.crop_scale, crop_seed, view=view)
    shares = tf.cast(boxes, tf.float32) / tf.cast(tf.tile(sizes, (1, 2)), tf.float32)
    chance = tf.random.stateless_uniform((tf.shape(sizes)[0],), flip_seed)
    return shares, chance < augmentation.flip_probability
