"""Whole networks from larq-zoo with random weights, against Larq Compute Engine and Keras."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

# The input sizes keep the last maps no smaller than the filters; otherwise Larq Compute Engine's
# kernel would be wrong.
NETWORKS = {
    "QuickNet": ("sota", 96),
    "QuickNetLarge": ("sota", 96),
    "BiRealNet": ("literature", 96),
    "BinaryResNetE18": ("literature", 96),
    "BinaryDenseNet28": ("literature", 64),
    "RealToBinaryNet": ("literature", 96),
    "XNORNet": ("literature", 224),
}
FAST = "QuickNet"
pytestmark = pytest.mark.filterwarnings("ignore:Saved-model conversion failed")


@functools.lru_cache(maxsize=1)
def network(name: str) -> tf.keras.Model:
    """The network with random weights and statistics, because initial batch normalization does
    nothing.
    """
    import larq_zoo

    tf.keras.utils.set_random_seed(0)
    module, size = NETWORKS[name]
    model = getattr(getattr(larq_zoo, module), name)(
        input_shape=(size, size, 3), weights=None, num_classes=16
    )
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if not isinstance(layer, tf.keras.layers.BatchNormalization):
            continue
        weights = {w.name.split("/")[-1].split(":")[0]: w for w in layer.weights}
        for part, variable in weights.items():
            positive = part in ("gamma", "moving_variance")
            values = (
                rng.uniform(0.5, 1.5, variable.shape)
                if positive
                else rng.normal(0, 0.3, variable.shape)
            )
            variable.assign(values)
    return model


@pytest.mark.parametrize(
    "name",
    [name if name == FAST else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS],
)
def test_equals_lce_and_keras(host, lce, name):
    import larq_compute_engine

    from s2bnn_runtime import Interpreter

    model = network(name)
    converted = larq_compute_engine.convert_keras_model(model)
    images = np.random.default_rng(1).normal(size=(8, *model.input_shape[1:])).astype(np.float32)
    result = Interpreter(converted, host=host).predict(images)
    np.testing.assert_array_equal(Interpreter(converted, 2, host=host).predict(images), result)
    assert share_of_equal_images(result, lce(converted, images)) > 0.5
    assert share_of_equal_images(result, model.predict(images, verbose=0)) > 0.5


def share_of_equal_images(result: np.ndarray, wanted: np.ndarray) -> float:
    """The share of images with equal scores.

    Each side sums float convolutions in another order, so now and then the sign of a value near
    zero turns, and with random weights that image's scores change. An error in a binary operation
    shows in every image.
    """
    return float(np.mean(np.abs(result - wanted).max(axis=1) < 1e-3))
