"""The layers as a library: files, Larq's summary, and a plain user's model."""

from __future__ import annotations

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.layers import BinaryConv2D, ChannelBias, RPReLU, RSign, ScaledSign

pytestmark = pytest.mark.both_sets

keras = tf.keras


def plain_model(binarize_weights: bool) -> keras.Model:
    """A Sequential model with every layer of the library and with changed weights."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            BinaryConv2D(16, 3, binarize_weights=binarize_weights, name="first"),
            keras.layers.BatchNormalization(),
            ChannelBias(),
            RPReLU(),
            RSign(),
            BinaryConv2D(
                8, 1, strides=2, binarize_weights=binarize_weights, kernel_initializer="he_normal",
                name="second",
            ),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10),
        ]
    )  # fmt: skip
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.uniform(0, 0.2, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(16, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("binarize_weights", [False, True])
def test_a_keras_file_brings_back_every_bit(binarize_weights, images, tmp_path):
    model = plain_model(binarize_weights)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("first").binarize_weights is binarize_weights
    assert loaded.get_layer("second").strides == (2, 2)
    for before, after in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(before, after, err_msg=before.name)
    np.testing.assert_array_equal(model(images), loaded(images))


@pytest.mark.parametrize("binarize_weights", [False, True])
def test_an_h5_file_brings_back_every_bit(binarize_weights, images, tmp_path):
    model = plain_model(binarize_weights)
    larq_layer = lq.layers.QuantConv2D(
        4, 1, input_quantizer=RSign(), kernel_quantizer=ScaledSign(), name="larq"
    )
    model = keras.Sequential([keras.Input((8, 8, 3)), *model.layers[:-2], larq_layer])
    with pytest.warns(UserWarning, match="HDF5"):
        model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5", compile=False)
    assert loaded.get_layer("first").binarize_weights is binarize_weights
    for before, after in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(before, after, err_msg=before.name)
    np.testing.assert_array_equal(model(images), loaded(images))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("RSign", RSign),
        ("r_sign", RSign),
        ("ScaledSign", ScaledSign),
        ("scaled_sign", ScaledSign),
    ],
)
def test_larq_knows_our_quantizers_by_name(name, kind):
    assert isinstance(lq.quantizers.get(name), kind)
    layer = lq.layers.QuantConv2D(4, 3, input_quantizer=name, kernel_constraint="weight_clip")
    again = lq.layers.QuantConv2D.from_config(layer.get_config())
    assert isinstance(again.input_quantizer, kind)


@pytest.mark.parametrize("layer", [ChannelBias, RPReLU, RSign, ScaledSign])
def test_a_layer_for_each_element_passes_a_mask_on(layer):
    tokens = keras.layers.Masking()(keras.Input((5, 3)))
    assert layer()(tokens)._keras_mask is not None


def summary_rows(model: keras.Model) -> dict[str, list[str]]:
    """The cells of each row by name of the layer: bits, output shape and then the counts."""
    lines: list[str] = []
    lq.models.summary(model, print_fn=lambda text: lines.extend(text.splitlines()))
    rows = [line.strip("|").split() for line in lines]
    return {row[0]: row[1:] for row in rows if row}


# The number of weights in the kernel, of thresholds, and of multiplications.
@pytest.mark.parametrize(
    ("name", "weights", "thresholds", "macs"),
    [("first", 3 * 3 * 3 * 16, 3, 8 * 8 * 3 * 3 * 3 * 16), ("second", 16 * 8, 16, 4 * 4 * 16 * 8)],
)
def test_larqs_summary_counts_bits_and_operations(name, weights, thresholds, macs):
    bits, *_, one_bit, full, _memory, binary_macs, float_macs = summary_rows(plain_model(True))[
        name
    ]
    assert (bits, int(one_bit), int(full)) == ("1", weights, thresholds)
    assert (int(binary_macs), int(float_macs)) == (macs, 0)
    # Step 1: real weights, so there is no column of 1-bit weights or 1-bit operations.
    bits, *_, full, _memory, float_macs = summary_rows(plain_model(False))[name]
    assert (bits, int(full), int(float_macs)) == ("1", weights + thresholds, macs)


def test_one_fit_step_moves_every_trainable_weight(images):
    model = plain_model(binarize_weights=True)
    before = {weight.name: weight.numpy() for weight in model.trainable_weights}
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(images, np.arange(16) % 10, batch_size=16, epochs=1, verbose=0)
    for weight in model.trainable_weights:
        assert not np.array_equal(before[weight.name], weight.numpy()), weight.name
        assert np.all(np.isfinite(weight.numpy())), weight.name
