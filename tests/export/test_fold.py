"""Shifts around RPReLU are folded into their neighbors, exactly but for rounding."""

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.data import normalize
from s2bnn_tf.export import deployment_model
from s2bnn_tf.export.fold import fold_shifts, unfolded_shifts
from s2bnn_tf.layers import BinaryConv2D, RPReLU, RSign

keras = tf.keras


def run(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.concatenate([model(images[i : i + 1]).numpy() for i in range(len(images))])


def test_all_shifts_are_folded_but_the_last(small_deployed):
    """52 shifts of 26 RPReLUs; only the one before the pooling has nowhere to go."""
    left = [
        weight.name
        for layer in small_deployed.get_layer("reactnet").layers
        if isinstance(layer, RPReLU)
        for weight in (layer.shift_in, layer.shift_out)
        if np.any(weight)
    ]
    assert len(left) == 1
    assert left[0].startswith("block13_rprelu2/shift_out")
    told = unfolded_shifts(small_deployed.get_layer("reactnet"))
    assert told == {"block13_rprelu2/shift_out": "pool reads it"}


def test_a_shift_that_something_else_reads_stays(wrap):
    def layers(image):
        x = RPReLU(name="first")(image)
        binary = BinaryConv2D(8, 3, name="binary")(x)
        pooled = keras.layers.MaxPooling2D(2, name="max")(x)  # does not add things up
        return keras.layers.Concatenate()([keras.layers.MaxPooling2D(2)(binary), pooled])

    encoder = wrap(layers)
    backbone = deployment_model(encoder, 8).get_layer("own")
    np.testing.assert_array_equal(
        backbone.get_layer("first").shift_out, encoder.backbone.get_layer("first").shift_out
    )
    assert unfolded_shifts(backbone) == {
        "first/shift_in": "no BatchNormalization before it feeds it alone",
        "first/shift_out": "max reads it",
    }
    np.testing.assert_array_equal(
        backbone.get_layer("binary").input_quantizer.bias,
        encoder.backbone.get_layer("binary").input_quantizer.bias,
    )


def test_a_shift_passes_through_pooling_and_repetition(wrap, noise):
    def layers(image):
        x = RPReLU(name="first")(image)
        pooled = keras.layers.AveragePooling2D(2, padding="same")(x)
        twice = keras.layers.Concatenate()([pooled, pooled])
        x = BinaryConv2D(6, 3, strides=2)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Add()([x, twice])
        return RPReLU(name="second")(x)

    encoder = wrap(layers, size=7)  # odd: the last window of the pooling is not full
    deployed = deployment_model(encoder, 7)
    images = noise(7, 4)
    assert not np.any(deployed.get_layer("own").get_layer("first").shift_out)
    assert not np.any(deployed.get_layer("own").get_layer("second").shift_in)
    np.testing.assert_allclose(
        run(deployed, images), encoder.backbone(normalize(images)), rtol=1e-4, atol=1e-5
    )


def test_a_shift_does_not_pass_through_maps_put_side_by_side(wrap, noise):
    """Joined along the height, one channel would need two shifts."""

    def layers(image):
        halves = [RPReLU()(image), RPReLU()(keras.layers.ReLU()(image))]
        return BinaryConv2D(6, 3)(keras.layers.Concatenate(axis=1)(halves))

    encoder = wrap(layers)
    images = noise(8, 4)
    np.testing.assert_allclose(
        run(deployment_model(encoder, 8), images),
        encoder.backbone(normalize(images)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_layer_used_twice_is_left_alone(wrap, noise):
    shared = RSign(name="shared")

    def layers(image):
        x = RPReLU(name="first")(image)
        return keras.layers.Add()([shared(x), shared(keras.layers.ReLU()(x))])

    encoder = wrap(layers)
    images = noise(8, 2)
    deployed = deployment_model(encoder, 8)
    told = unfolded_shifts(deployed.get_layer("own"))
    assert told["first/shift_out"] == "shared is used twice in the network"
    np.testing.assert_allclose(
        run(deployed, images),
        encoder.backbone(normalize(images)),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.fixture
def float64():
    keras.backend.set_floatx("float64")
    yield
    keras.backend.set_floatx("float32")


@pytest.mark.parametrize("strides", [1, 2])
def test_folding_is_exact_but_for_rounding(float64, strides):
    """In float64, where no sign is near enough to its threshold to flip: 1e-10."""
    rng = np.random.default_rng(0)
    image = x = keras.Input((12, 12, 8))
    for channels in (8, 16):
        shortcut = keras.layers.AveragePooling2D(strides, padding="same")(x)
        y = BinaryConv2D(x.shape[-1], 3, strides=strides)(x)
        y = keras.layers.BatchNormalization()(y)
        x = RPReLU()(keras.layers.Add()([y, shortcut]))
        if channels != x.shape[-1]:
            shortcut = keras.layers.Concatenate()([x, x])
            y = keras.layers.BatchNormalization()(BinaryConv2D(channels, 1)(x))
            x = RPReLU()(keras.layers.Add()([y, shortcut]))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape) * rng.choice([-1, 1], weight.shape))
        if "variance" in weight.name:
            weight.assign(np.abs(weight))
    images = rng.normal(size=(4, 12, 12, 8))
    before = model(images).numpy()
    weights = model.get_weights()
    fold_shifts(model)
    after = model(images).numpy()
    assert after.dtype == np.float64
    assert any(np.any(old != new) for old, new in zip(weights, model.get_weights()))
    np.testing.assert_allclose(after, before, rtol=1e-10, atol=1e-10 * np.abs(before).max())
