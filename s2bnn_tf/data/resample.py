"""Resizing and blurring a batch with matrices, one pair for each image.

A linear and separable operation is one product over the rows and one over the columns, and
images with different boxes, or different blurs, still form one batch.
"""

from __future__ import annotations

import tensorflow as tf


def resample(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Apply one matrix to the rows and one to the columns of each image.

    Args:
        images: `(B, H, W, C)`.
        rows: `(B, H', H)` or `(1, H', H)`.
        columns: `(B, W', W)` or `(1, W', W)`.

    Returns:
        float32 `(B, H', W', C)`.
    """
    batch, height, width, _ = tf.unstack(tf.shape(images))
    channels = images.shape[-1]
    new_height, new_width = tf.shape(rows)[1], tf.shape(columns)[1]
    # (B, H, C, W), since each image then takes two large products, not two for each channel.
    lines = tf.cast(tf.transpose(images, (0, 1, 3, 2)), tf.float32)
    lines = tf.matmul(rows, tf.reshape(lines, (batch, height, channels * width)))
    lines = tf.reshape(lines, (batch, new_height * channels, width))
    lines = tf.matmul(lines, columns, transpose_b=True)
    lines = tf.reshape(lines, (batch, new_height, channels, new_width))
    return tf.transpose(lines, (0, 1, 3, 2))


def interpolation_matrix(
    start: tf.Tensor, extent: tf.Tensor, input_size: int | tf.Tensor, output_size: int
) -> tf.Tensor:
    """Return matrices that resample `[start, start + extent)` to `output_size` pixels.

    Each row holds a triangle, as wide as an output pixel where the interval shrinks (which is
    the antialiasing) and as an input pixel where it grows. Pixels outside have no weight.

    Args:
        start: Where each interval begins, float `(B,)` in pixels.
        extent: The length of each interval, float `(B,)` in pixels.
        input_size: The number of pixels in the input.
        output_size: The number of pixels in the output.

    Returns:
        float32 `(B, output_size, input_size)`, each row summing to 1.
    """
    scale = (extent / output_size)[:, tf.newaxis, tf.newaxis]
    centers = (tf.range(output_size, dtype=tf.float32) + 0.5)[:, tf.newaxis] * scale
    pixels = tf.range(input_size, dtype=tf.float32) + 0.5 - start[:, tf.newaxis]
    inside = tf.cast((pixels > 0) & (pixels < extent[:, tf.newaxis]), tf.float32)
    pixels, inside = pixels[:, tf.newaxis], inside[:, tf.newaxis]
    weights = tf.nn.relu(1 - tf.abs(pixels - centers) / tf.maximum(scale, 1.0)) * inside
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)


def gaussian_matrix(sigma: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return matrices that blur a line of pixels, reflected at both ends.

    Args:
        sigma: The standard deviation of each Gaussian, float `(B,)` in pixels.
        size: The number of pixels in the line.

    Returns:
        float32 `(B, size, size)`, each row summing to 1.
    """
    pixels = tf.range(size, dtype=tf.float32)
    last = pixels[-1]

    def weights(source: tf.Tensor) -> tf.Tensor:
        distance = (pixels[:, tf.newaxis] - source) / sigma[:, tf.newaxis, tf.newaxis]
        return tf.exp(-0.5 * tf.square(distance))

    # The first and the last pixel are their own mirror images, and count once.
    reflected = weights(-pixels) * tf.cast(pixels > 0, tf.float32)
    reflected += weights(2 * last - pixels) * tf.cast(pixels < last, tf.float32)
    matrix = weights(pixels) + reflected
    return matrix / tf.reduce_sum(matrix, axis=-1, keepdims=True)
