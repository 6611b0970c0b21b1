"""Random image operations on batches, as torchvision defines them, in TensorFlow.

Images are RGB float32 `(B, H, W, 3)` in 0-255, or gray `(B, H, W, 1)`, which have no hue and no
saturation to change. Every operation is a pure function of its images and a seed, int32 `(2,)`,
and draws separately for each image of the batch.

TensorFlow is several times slower to broadcast over the three channels than along rows, so the
hot operations see an image as one row of numbers (`_rows`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data.resample import gaussian_matrix, resample

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# For one channel: the averages of the three above.
GRAY_MEAN = 0.449
GRAY_STD = 0.226
GRAY_WEIGHTS = (0.2989, 0.587, 0.114)

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
JITTER_STRENGTH = 0.4  # of brightness, contrast and saturation
JITTER_HUE = 0.1
BLUR_SIGMA = (0.1, 2.0)


@dataclass(frozen=True)
class Augmentation:
    """How a view differs from its image.

    Attributes:
        crop_scale: The smallest and largest share of the area that a crop keeps, in (0, 1].
        jitter_probability: The probability that brightness, contrast, saturation and hue change.
        grayscale_probability: The probability that the view becomes gray.
        blur_probability: The probability of a Gaussian blur.
        flip_probability: The probability of mirroring left to right.
    """

    crop_scale: tuple[float, float]
    jitter_probability: float
    grayscale_probability: float
    blur_probability: float
    flip_probability: float


def channel_statistics(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, for values from 0 to 1.

    Three channels have those of ImageNet. One channel has their means, so that a gray picture is
    nearly the same numbers in one channel as in three.
    """
    return (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((GRAY_MEAN,), (GRAY_STD,))


def normalize(images: tf.Tensor) -> tf.Tensor:
    """Turn 0-255 `(B, H, W, C)` into what the networks take: `(x / 255 - mean) / std`.

    See `channel_statistics`.
    """
    width, channels = tf.shape(images)[2], images.shape[-1]
    means, stds = channel_statistics(channels)
    scale = tf.tile(tf.constant([1 / (255 * std) for std in stds]), [width])
    offset = tf.constant([mean / std for mean, std in zip(means, stds)])
    lines = tf.reshape(tf.cast(images, tf.float32), (-1, channels * width))
    return tf.reshape(lines * scale - tf.tile(offset, [width]), tf.shape(images))


def denormalize(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Undo `normalize`, up to rounding: `(B, H, W, C)` of 0-255."""
    means, stds = (np.array(part, np.float32) for part in channel_statistics(images.shape[-1]))
    return np.asarray(np.clip((images * stds + means) * 255, 0, 255), np.float32)


def augment_view(images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Turn crops, 0-255 `(B, H, W, C)`, into normalized views of the same shape."""
    seeds = tf.unstack(tf.random.split(seed, 4), axis=0)
    images = color_jitter(images, augmentation.jitter_probability, seeds[0])
    images = random_grayscale(images, augmentation.grayscale_probability, seeds[1])
    images = gaussian_blur(images, augmentation.blur_probability, seeds[2])
    images = random_flip(images, augmentation.flip_probability, seeds[3])
    return normalize(images)


def color_jitter(images: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Change brightness, contrast, saturation and hue of some images, in random order.

    Factors are uniform in 0.6-1.4, and the hue moves by at most a tenth of the circle.

    Args:
        images: `(B, H, W, 3)`.
        probability: The probability that an image changes.
        seed: int32 `(2,)`.

    Returns:
        Same shape as `images`.

    References:
        torchvision.transforms.ColorJitter(0.4, 0.4, 0.4, 0.1).
    """
    seeds = tf.random.split(seed, 2)
    chosen = _choose(images, probability, seeds[0])
    amounts, order = sample_jitter(tf.shape(chosen)[0], seeds[1])
    jittered = apply_jitter(tf.gather_nd(images, chosen), amounts, order)
    return tf.tensor_scatter_nd_update(images, chosen, jittered)


def sample_jitter(count: int | tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw the `amounts` and the `order` of `apply_jitter` for `count` images."""
    seeds = tf.random.split(seed, 3)
    factors = _uniform((count, 3), seeds[0], 1 - JITTER_STRENGTH, 1 + JITTER_STRENGTH)
    hue = _uniform((count, 1), seeds[1], -JITTER_HUE, JITTER_HUE)
    order = tf.argsort(_uniform((count, 4), seeds[2]), axis=1)
    return tf.concat([factors, hue], axis=1), order


def apply_jitter(images: tf.Tensor, amounts: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """Apply the four operations of the color jitter, clipping to 0-255 after each.

    Args:
        images: `(B, H, W, 3)`.
        amounts: `(B, 4)`: the factors for brightness, contrast and saturation, and the shift of
            the hue in turns of the color circle.
        order: int32 `(B, 4)`: which operation comes first, second, ... for each image.

    Returns:
        Same shape as `images`.
    """

    def take_turn(turn: tf.Tensor, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        operation = order[:, turn]
        amount = tf.gather(amounts, operation, batch_dims=1)
        blended = _blend(images, operation, amount)
        if _is_gray(images):
            return turn + 1, blended
        hue_rows = tf.where(operation == HUE)
        shifted = shift_hue(tf.gather_nd(blended, hue_rows), tf.gather_nd(amount, hue_rows))
        return turn + 1, tf.tensor_scatter_nd_update(blended, hue_rows, shifted)

    return tf.while_loop(lambda turn, _: turn < 4, take_turn, (0, images))[1]


def shift_hue(images: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Turn the hue of each image by `shift` `(B,)`, in turns of the color circle."""
    # Image by image, since TensorFlow's fused kernel takes one shift for all its images; this
    # still takes half as long as converting the whole batch to HSV and back.
    return tf.map_fn(
        lambda pair: tf.image.adjust_hue(*pair),
        (images, shift),
        fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32),
    )


def to_gray(images: tf.Tensor) -> tf.Tensor:
    """Return the luma, with torchvision's weights, on all channels, of the same shape."""
    if _is_gray(images):
        return images
    return tf.tensordot(images, tf.constant([[weight] * 3 for weight in GRAY_WEIGHTS]), axes=1)


def random_grayscale(images: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Replace some images with their luma on all three channels."""
    if _is_gray(images):
        return images
    chosen = _choose(images, probability, seed)
    return tf.tensor_scatter_nd_update(images, chosen, to_gray(tf.gather_nd(images, chosen)))


def gaussian_blur(images: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Blur some images with a Gaussian, its sigma uniform in 0.1-2.0 pixels.

    Borders are reflected. Sigma is in pixels of the view, whatever its size; in the paper, views
    have 224 by 224 pixels.

    References:
        MoCo v2, https://arxiv.org/abs/2003.04297 (this blur, with Pillow).
    """
    seeds = tf.random.split(seed, 2)
    chosen = _choose(images, probability, seeds[0])
    sigma = _uniform(tf.shape(chosen)[:1], seeds[1], *BLUR_SIGMA)
    blurred = blur_by(tf.gather_nd(images, chosen), sigma)
    return tf.tensor_scatter_nd_update(images, chosen, blurred)


def blur_by(images: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Blur each image with its own sigma, `(B,)` in pixels.

    The Gaussian is one matrix for the rows and one for the columns, and the same two matrix
    products blur images with different sigmas.
    """
    rows = gaussian_matrix(sigma, tf.shape(images)[1])
    columns = gaussian_matrix(sigma, tf.shape(images)[2])
    return resample(images, rows, columns)


def random_flip(images: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Mirror some images left to right."""
    chosen = _choose(images, probability, seed)
    mirrored = tf.reverse(tf.gather_nd(images, chosen), axis=[2])
    return tf.tensor_scatter_nd_update(images, chosen, mirrored)


def _is_gray(images: tf.Tensor) -> bool:
    return bool(images.shape[-1] == 1)


def _uniform(
    shape: tf.Tensor | tuple[int | tf.Tensor, ...],
    seed: tf.Tensor,
    low: float = 0.0,
    high: float = 1.0,
) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed, low, high)


def _blend(images: tf.Tensor, operation: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Move images away from, or toward, black, their mean luma or their luma.

    Brightness, contrast and saturation differ only in this other end, and so one pass serves a
    batch in which every image is at a different operation.
    """
    gray = _rows(to_gray(images))
    factor = tf.where(operation == HUE, 1.0, amount)[:, tf.newaxis]
    rest = 1 - factor
    of_gray = tf.where(operation[:, tf.newaxis] == SATURATION, rest, 0.0)
    of_mean = tf.where(operation[:, tf.newaxis] == CONTRAST, rest, 0.0)
    mean = tf.reduce_mean(gray, axis=1, keepdims=True)
    blended = _rows(images) * factor + gray * of_gray + mean * of_mean
    return tf.reshape(tf.clip_by_value(blended, 0.0, 255.0), tf.shape(images))


def _choose(images: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Draw which images change: `(n, 1)` indices into the batch."""
    return tf.where(_uniform(tf.shape(images)[:1], seed) < probability)


def _rows(images: tf.Tensor) -> tf.Tensor:
    """View each image as one row, `(B, H * W * 3)`."""
    return tf.reshape(images, (tf.shape(images)[0], -1))
