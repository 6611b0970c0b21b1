"""Verification finds every mistake, and names the layer."""

from __future__ import annotations

import flatbuffers
import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.export import ParityError, convert_model, deployment_model, verify
from s2bnn_tf.export.verify_layers import TOLERANCE, pair_layers
from s2bnn_tf.layers import BinaryConv2D, RPReLU
from s2bnn_tf.tflite.graph import TFLiteGraph

pytestmark = pytest.mark.both_sets

keras = tf.keras


def damaged(model: bytes, tensor: int, change) -> bytes:
    """The model with one of its constants changed in place."""
    unpacked = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    buffer = unpacked.buffers[unpacked.subgraphs[0].tensors[tensor].buffer]
    values = buffer.data.copy()
    change(values.view(TFLiteGraph(model).tensors[tensor].dtype))
    buffer.data = values
    builder = flatbuffers.Builder(len(model))
    builder.Finish(unpacked.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(scope="module")
def named(small_encoder, small_deployed, small_model):
    """The binary convolution of each layer, by name."""
    pairs = pair_layers(
        TFLiteGraph(small_model), small_encoder.backbone, small_deployed.get_layer("reactnet")
    )
    return {pair.layer.name: pair.operation for pair in pairs}


def test_right_file(small_encoder, small_deployed, small_model, digits):
    before = small_encoder(digits / 100).numpy()
    report = verify(small_encoder, small_model, digits, deployed=small_deployed)
    assert report.binary_convolutions == 26
    assert report.images == len(digits)
    assert max(report.layer_error.values()) <= TOLERANCE
    assert set(report.layer_error) == {"default", "indirect", "reference"}
    # Every input of a binary convolution of two images: 32x32x8 twice (3x3, 1x1), ...
    assert report.signs == 2 * 109568
    assert report.signs_flipped_by_rounding <= report.signs_flipped <= report.signs / 100
    assert report.dictated_error < 1e-5
    assert report.cosine_min > 0.999
    assert report.neighbour_agreement == 1.0
    assert report.to_dict()["signs_flipped_fraction"] == report.signs_flipped / report.signs
    # The encoder is as it was.
    np.testing.assert_array_equal(small_encoder(digits / 100), before)


def test_thousands_of_products_of_one_sign_are_no_mistake(wrap, noise):
    """As a trained network has them: a float32 sum of 2,304 scales is off by 3e-5."""

    def layers(image):
        x = keras.layers.Conv2D(256, 1, bias_initializer=keras.initializers.Constant(100))(image)
        return keras.layers.BatchNormalization()(BinaryConv2D(32, 3, name="binary")(x))

    encoder = wrap(layers)
    kernel = encoder.backbone.get_layer("binary").kernel
    kernel.assign(tf.abs(kernel) + 0.0137)
    deployed = deployment_model(encoder, 8)
    report = verify(
        encoder, convert_model(deployed, output_name="features"), noise(8, 2), deployed=deployed
    )
    assert max(report.layer_error.values()) < TOLERANCE / 4


@pytest.mark.parametrize("layer", ["block1_conv3x3", "block7_conv1x1", "block13_conv3x3"])
def test_one_wrong_bit_of_a_filter(
    layer, named, small_encoder, small_deployed, small_model, digits
):
    def flip(words):
        words[5] ^= 1

    wrong = damaged(small_model, named[layer].inputs[1], flip)
    with pytest.raises(ParityError, match=f"'{layer}' of the file differs"):
        verify(small_encoder, wrong, digits, deployed=small_deployed)


def test_a_wrong_fused_multiplier(named, small_encoder, small_deployed, small_model, digits):
    def scale(values):
        values[3] *= 1.001

    wrong = damaged(small_model, named["block5_conv3x3"].inputs[2], scale)
    with pytest.raises(ParityError, match="'block5_conv3x3' of the file differs"):
        verify(small_encoder, wrong, digits, deployed=small_deployed)


def test_a_wrong_stem_is_seen_at_the_first_binary_convolution(
    small_encoder, small_deployed, small_model, digits
):
    graph = TFLiteGraph(small_model)
    (stem,) = (item for item in graph.operations if item.name == "CONV_2D")

    def scale(values):
        values[:27] *= 1.5  # the filter of the first channel

    wrong = damaged(small_model, stem.inputs[1], scale)
    with pytest.raises(ParityError, match="input of 'block1_conv3x3' has other signs"):
        verify(small_encoder, wrong, digits, deployed=small_deployed)


def test_a_wrong_prelu_is_seen_behind_it(small_encoder, small_deployed, small_model, digits):
    graph = TFLiteGraph(small_model)
    slopes = [item.inputs[1] for item in graph.operations if item.name == "PRELU"]

    def grow(values):
        values += 0.5

    wrong = damaged(small_model, slopes[-1], grow)
    with pytest.raises(ParityError, match="follows the last binary convolution"):
        verify(small_encoder, wrong, digits, deployed=small_deployed)
    wrong = damaged(small_model, slopes[9], grow)
    with pytest.raises(ParityError, match="input of 'block6_conv3x3' has other signs"):
        verify(small_encoder, wrong, digits, deployed=small_deployed)


def test_a_mistake_in_folding_is_found(wrap, noise, convert_and_verify):
    """The reference is the encoder, not the deployed model that was converted."""

    def layers(image):
        x = keras.layers.BatchNormalization(name="norm")(BinaryConv2D(32, 3)(image))
        return BinaryConv2D(32, 3, name="second")(RPReLU()(x))

    encoder = wrap(layers)
    deployed = deployment_model(encoder, 8)
    deployed.get_layer("own").get_layer("norm").beta.assign_add(tf.ones(32))
    with pytest.raises(ParityError, match="input of 'second' has other signs"):
        convert_and_verify(encoder, noise(), deployed=deployed)


@pytest.mark.slow
def test_other_weights_of_the_same_network(make_encoder, small_deployed, small_model, digits):
    tf.keras.utils.set_random_seed(1)
    other = make_encoder(
        "reactnet", 32, stem="small", width=0.25, kernel_initializer="small_positive"
    )
    with pytest.raises(ParityError, match="'block1_conv3x3' of the file differs"):
        verify(other, small_model, digits, deployed=small_deployed)


def test_filter_larger_than_its_map(wrap, noise, convert_and_verify):
    encoder = wrap(lambda x: BinaryConv2D(8, 3, name="tiny")(keras.layers.Conv2D(4, 4, 4)(x)))
    images = noise(8, 2)
    with pytest.raises(ParityError) as told:
        convert_and_verify(encoder, images)
    assert "default kernel computes 'tiny' wrongly" in str(told.value)
    assert "3x3 filter is larger than its 2x2 input: choose a larger image_size" in str(told.value)


def test_what_the_converter_fuses(wrap, noise, convert_and_verify):
    """ReLU before BatchNormalization (QuickNet's order), a bias, padding with ones, dilation."""

    def layers(image):
        x = keras.layers.Conv2D(32, 3)(image)
        x = lq.layers.QuantConv2D(
            32,
            3,
            padding="same",
            pad_values=1.0,
            activation="relu",
            input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
        )(x)
        x = keras.layers.BatchNormalization()(x)
        x = BinaryConv2D(32, 3, use_bias=True, dilation_rate=2, activation="relu")(x)
        x = keras.layers.BatchNormalization()(x)
        return BinaryConv2D(16, 3, padding="valid")(x)

    encoder = wrap(layers, size=16)
    images = noise(16, 4)
    report = convert_and_verify(encoder, images)
    assert report.binary_convolutions == 3
    assert max(report.layer_error.values()) <= TOLERANCE


def test_bits_handed_from_one_convolution_to_the_next(wrap, noise):
    """Without a shortcut between them, the file never leaves bits: outputs are thresholded."""

    def layers(image):
        for index in range(3):
            image = lq.layers.QuantConv2D(
                32,
                3,
                padding="same",
                pad_values=1.0,
                input_quantizer="ste_sign",
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                use_bias=False,
                name=f"conv{index}",
            )(image)
            image = keras.layers.BatchNormalization()(image)
        return image

    encoder = wrap(layers)
    deployed = deployment_model(encoder, 8)
    graph = TFLiteGraph(convert_model(deployed, output_name="features"))
    outputs = [graph.tensors[item.outputs[0]].dtype for item in graph.binary_convolutions()]
    assert outputs == [np.int32, np.int32, np.float32]
    images = noise(8, 4)
    report = verify(encoder, graph.data, images, deployed=deployed)
    assert report.binary_convolutions == 3

    def move(thresholds):
        thresholds += 4

    wrong = damaged(graph.data, graph.binary_convolutions()[1].inputs[4], move)
    with pytest.raises(ParityError, match="'conv1' of the file differs"):
        verify(encoder, wrong, images, deployed=deployed)


def test_groups_which_the_default_kernel_cannot_run(wrap, capfd, noise, convert_and_verify):
    def layers(image):
        x = keras.layers.Conv2D(64, 3)(image)
        return BinaryConv2D(64, 3, groups=2)(x)

    images = noise(8, 2)
    with pytest.raises(ParityError, match="cannot run it: .*Grouped binary convolutions are not"):
        convert_and_verify(wrap(layers), images)
    assert "Grouped" not in capfd.readouterr().err


def test_odd_channels_which_the_reference_kernel_cannot_run(wrap, noise, convert_and_verify):
    images = noise(8, 2)
    report = convert_and_verify(wrap(lambda image: BinaryConv2D(8, 3)(image)), images)
    assert set(report.layer_error) == {"default", "indirect"}


def test_one_image_is_enough(wrap, noise, convert_and_verify):
    encoder = wrap(lambda image: BinaryConv2D(8, 3)(image))
    report = convert_and_verify(encoder, noise(8, 1))
    assert report.images == 1
    assert report.neighbour_agreement is None
