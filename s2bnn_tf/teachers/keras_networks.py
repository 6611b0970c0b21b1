"""Teachers that are Keras models: a `.keras` file, or a network of `keras.applications`."""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

from s2bnn_tf.data import IMAGENET_MEAN, IMAGENET_STD, channel_statistics
from s2bnn_tf.errors import CheckpointError, ConfigError, ModelError
from s2bnn_tf.image_size import ImageSize, height_width
from s2bnn_tf.runs import count_weights, read_keras_file

keras = tf.keras


def load_keras_file(path: Path) -> keras.Model:
    """Load a `.keras` file without executing any code in it.

    Args:
        path: A model from normalized images `(B, H, W, 3)` to features `(B, D)` or maps
            `(B, H, W, D)`.

    Returns:
        The model, with one feature vector per image: `(B, D)`.

    Raises:
        CheckpointError: If the file is missing, damaged, of Keras 3, or holds code.
        ModelError: If the output of the model has another rank.
    """
    model = read_keras_file(path, "teacher.weights")
    output = model.output
    if len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D()(output)
    if len(output.shape) != 2:
        raise ModelError(
            f"teacher.weights: expected a network with output (B, D) or (B, H, W, D), "
            f"not {tuple(output.shape)}."
        )
    return keras.Model(model.input, output)


def load_application(name: str, weights: str | None, image_size: ImageSize) -> keras.Model:
    """Load a network of `keras.applications`, with its own preprocessing.

    Args:
        name: The name of its function, such as `"ResNet50"`.
        weights: `"imagenet"`, a weights file without the classifier, or None for random weights.
        image_size: The side of the images in pixels, or height and width.

    Returns:
        A model from our normalized images `(B, H, W, 3)` to pooled features `(B, D)`.

    Raises:
        ConfigError: If there is no such network.
        CheckpointError: If the weights cannot be downloaded or read, or do not fit.
    """
    network = getattr(keras.applications, name, None)
    if not callable(network):
        known = sorted(n for n in dir(keras.applications) if n[0].isupper())
        raise ConfigError(
            f"teacher.backbone: keras.applications has no {name!r}; it has {', '.join(known)}."
        )
    image = keras.Input((*height_width(image_size), 3), name="image")
    std, mean = (tf.constant(v, tf.float32) * 255.0 for v in (IMAGENET_STD, IMAGENET_MEAN))
    preprocess = sys.modules[network.__module__].preprocess_input
    try:
        if weights is not None and weights != "imagenet":
            _check_weights(weights)
        body = network(include_top=False, pooling="avg", weights=weights)
    except Exception as error:
        # A missing or misfit file raises ValueError, a failed download a bare Exception.
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"teacher.weights: cannot load {weights} for {name}: {reason}"
        ) from error
    return keras.Model(image, body(preprocess(image * std + mean)), name=name)


def normalized_as(
    network: keras.Model, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> keras.Model:
    """Let a network see pixels that are normalized in its own way.

    Args:
        network: A model from images `(B, H, W, C)` as `(pixel - mean) / std`, of pixels in 0..1.
        mean: One number, or one for each channel; ImageNet's by default.
        std: Likewise.

    Returns:
        A model from images as `s2bnn_tf.data.normalize` makes them.
    """
    shape = network.input_shape[1:]
    own = [tf.constant(values, tf.float32) for values in channel_statistics(shape[-1])]
    wanted = [
        values if given is None else tf.constant(given, tf.float32)
        for given, values in zip((mean, std), own)
    ]
    image = keras.Input(shape, name="image")
    pixels = image * own[1] + own[0]
    return keras.Model(image, network((pixels - wanted[0]) / wanted[1]), name=network.name)


def on_gray(network: keras.Model, shape: tuple[int, int, int]) -> keras.Model:
    """Let a network of three channels see gray images, as the gray pictures that they are.

    Args:
        network: A model from normalized images `(B, H, W, 3)`.
        shape: Height, width and 1.

    Returns:
        A model from images `(B, H, W, 1)`, normalized as one channel is, to the same output as of
        the picture on all three channels.

    Raises:
        ValueError: If the network does not take images of that height and width.
    """
    image = keras.Input(shape, name="gray")
    (mean,), (std,) = channel_statistics(1)
    means, stds = (tf.constant(part, tf.float32) for part in channel_statistics(3))
    return keras.Model(image, network((image * std + (mean - means)) / stds), name=network.name)


def _check_weights(path: str) -> None:
    """Check that Keras will read a file as HDF5, and that it can."""
    if not path.endswith((".h5", ".hdf5")):
        raise ValueError("its name must end in .h5, as that of model.save_weights('x.weights.h5')")
    count_weights(path)
