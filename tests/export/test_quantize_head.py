"""8-bit weights of a head: rounded in Keras, the same numbers in the file, in fewer bytes."""

import numpy as np
import pytest

from s2bnn_tf.export import convert
from s2bnn_tf.export.convert import export_encoder
from s2bnn_tf.export.lce import run_file
from s2bnn_tf.export.quantize_head import round_to_8_bits, store_8_bit_weights, with_rounded_head
from s2bnn_tf.tflite.graph import TFLiteGraph

pytestmark = pytest.mark.both_sets


def test_rounding_is_to_the_nearest_of_255_steps():
    kernel = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    kernel[:, 3] = 0
    rounded = round_to_8_bits(kernel)
    largest = np.abs(kernel).max(axis=0)
    assert (np.abs(rounded - kernel) <= largest / 254 * (1 + 1e-5)).all()
    np.testing.assert_allclose(np.abs(rounded).max(axis=0), largest, rtol=1e-6)
    steps = rounded / np.where(largest, largest / 127, 1)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    np.testing.assert_array_equal(round_to_8_bits(rounded), rounded)


@pytest.fixture(scope="module")
def encoder(make_encoder):
    return make_encoder("quicknet_small", 64, embedding_dim=32)


def test_the_file_computes_the_same_in_fewer_bytes(encoder, photographs):
    rounded = with_rounded_head(encoder)
    plain = convert(rounded, image_size=64, head="projection")
    small = store_8_bit_weights(plain)
    images = photographs(64)
    (expected,), (output,) = (run_file(model, images, "indirect") for model in (plain, small))
    np.testing.assert_array_equal(output, expected)
    weights = sum(layer.kernel.numpy().size for layer in encoder.head.layers if layer.weights)
    assert len(plain) - len(small) == pytest.approx(3 * weights, rel=0.02)
    assert TFLiteGraph(small).constant_bytes(np.int8) == weights


def test_the_card_says_what_it_changed(encoder, photographs, tmp_path):
    before = encoder.get_weights()
    options = {"image_size": 64, "center_crop": 1.0, "images": photographs(64)}
    kernel = np.random.default_rng(0).normal(size=(encoder.backbone.output_shape[-1], 5))
    probe = (kernel.astype(np.float32), np.zeros(5, np.float32), tuple("abcde"))
    for head, keys in (("projection", {"cosine_min"}), ("linear", {"cosine_min", "same_class"})):
        card = export_encoder(encoder, tmp_path / "x.tflite", head=head, probe=probe, **options)
        assert card["head_rounding"].keys() == keys
        assert 0.999 < card["head_rounding"]["cosine_min"] < 1
    card = export_encoder(
        encoder, tmp_path / "x.tflite", head="linear", probe=probe, head_bits=32, **options
    )
    assert "head_rounding" not in card
    for old, new in zip(before, encoder.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_a_network_without_dense_layers_is_left_as_it_is(encoder):
    model = convert(encoder, image_size=64, head="none")
    assert store_8_bit_weights(model) == model


@pytest.mark.slow
def test_reactnet_a_with_1000_classes(make_encoder):
    kernel = np.random.default_rng(0).normal(size=(1024, 1000)).astype(np.float32)
    probe = (round_to_8_bits(kernel), np.zeros(1000, np.float32))
    plain = convert(make_encoder("reactnet", 224), image_size=224, head="linear", probe=probe)
    # MiB: 3.37 of binary weights, 0.98 of the head, 0.16 of four floats for each channel.
    assert len(store_8_bit_weights(plain)) < 4.6 * 2**20
