"""The deployed network is the trained one: float32, frozen, folded, normalized inside."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder, ReverseImage
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import UserError
from s2bnn_tf.export import convert_model, deployment_model
from s2bnn_tf.export.deployment import in_float32
from s2bnn_tf.export.lce import run_file
from s2bnn_tf.layers import BinaryConv2D, RPReLU
from s2bnn_tf.tflite.graph import TFLiteGraph

pytestmark = pytest.mark.both_sets

keras = tf.keras


def run(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.concatenate([model(images[i : i + 1]).numpy() for i in range(len(images))])


def test_computes_what_the_encoder_computes(small_encoder, small_deployed, digits):
    expected = small_encoder.backbone(normalize(digits)).numpy()
    np.testing.assert_allclose(run(small_deployed, digits), expected, rtol=1e-3, atol=1e-4)


def test_the_image_is_turned_before_it_is_normalized(make_encoder, digits):
    """To the bit what turning the normalized image gives, and nothing stands before the stem."""
    encoder = make_encoder("resnet18", 32, stem="small", width=0.125, reverse_input=True)
    deployed = deployment_model(encoder, 32)
    names = [type(layer).__name__ for layer in deployed.layers]
    assert names[:4] == ["InputLayer", "ReverseImage", "Rescaling", "Functional"]
    normalized = run(deployed.get_layer("normalize"), digits)
    np.testing.assert_array_equal(run(deployed, digits), run(encoder.backbone, normalized))


def test_a_turn_of_a_part_of_what_reads_the_image_stays(wrap, noise):
    def layers(image):
        return keras.layers.Concatenate()([ReverseImage()(image), image])

    encoder = wrap(layers)
    deployed = deployment_model(encoder, 8)
    assert isinstance(deployed.layers[1], keras.layers.Rescaling)
    np.testing.assert_allclose(
        run(deployed, noise(8, 2)), encoder.backbone(normalize(noise(8, 2))), rtol=1e-5
    )


def test_the_folded_file_computes_what_the_plain_one_does(small_encoder, small_model, digits):
    plain = convert_model(deployment_model(small_encoder, 32, fold=False), output_name="features")
    (expected,), (output,) = (run_file(file, digits, "indirect") for file in (plain, small_model))
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(output, axis=1)
    assert ((expected * output).sum(axis=1) / lengths).min() > 0.9999
    operations = [len(TFLiteGraph(file).operations) for file in (plain, small_model)]
    assert operations[1] <= operations[0] - 51  # one of 52 shifts stays


def test_leaves_the_encoder_as_it_was(wrap):
    def layers(image):
        return RPReLU()(keras.layers.BatchNormalization()(BinaryConv2D(8, 3)(RPReLU()(image))))

    encoder = wrap(layers)
    before = encoder.get_weights()
    deployment_model(encoder, 8)
    for old, new in zip(before, encoder.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_binary_kernels_are_constants_of_one_magnitude_per_channel(small_deployed):
    layer = small_deployed.get_layer("reactnet").get_layer("block3_conv3x3")
    assert layer.kernel_quantizer is None
    kernel = layer.kernel.numpy()
    assert (np.abs(kernel) == np.abs(kernel[:1, :1, :1])).all()
    assert len(np.unique(np.abs(kernel))) > 1


def test_mixed_precision_becomes_float32(wrap, noise):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        encoder = wrap(
            lambda x: lq.layers.QuantConv2D(
                8,
                3,
                input_quantizer="ste_sign",
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
            )(keras.layers.Conv2D(8, 3)(x))
        )
        deployed = deployment_model(encoder, 8)
    finally:
        keras.mixed_precision.set_global_policy(None)
    exact = in_float32(encoder)
    assert exact is not encoder
    for model in (exact.backbone, deployed.get_layer("own")):
        for layer in model.layers:
            assert layer.dtype_policy.compute_dtype == "float32"
    images = noise(8, 2)
    expected = exact.backbone(normalize(images)).numpy()
    assert expected.dtype == np.float32
    np.testing.assert_allclose(run(deployed, images), expected, rtol=1e-4, atol=1e-5)


def test_float32_encoder_is_not_copied(small_encoder):
    assert in_float32(small_encoder) is small_encoder


def test_heads(wrap, noise):
    encoder = wrap(lambda image: BinaryConv2D(12, 3)(image), embedding_dim=16)
    images = noise()
    features = encoder.backbone(normalize(images)).numpy()
    kernel = np.random.default_rng(0).normal(size=(features.shape[1], 3)).astype(np.float32)
    bias = np.array([1.0, -2.0, 3.0], np.float32)
    logits = run(deployment_model(encoder, 8, "linear", (kernel, bias)), images)
    np.testing.assert_allclose(logits, features @ kernel + bias, rtol=1e-4, atol=1e-4)
    embedding = run(deployment_model(encoder, 8, "projection"), images)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(embedding, encoder(normalize(images)), atol=1e-5)


def test_what_cannot_be_deployed_is_told(small_encoder):
    with pytest.raises(UserError, match="32x32 pixels and cannot be converted for 64"):
        deployment_model(small_encoder, 64)
    with pytest.raises(UserError, match="head must be one of none, projection, teacher, linear"):
        deployment_model(small_encoder, 32, "softmax")
    with pytest.raises(UserError, match="s2bnn eval linear"):
        deployment_model(small_encoder, 32, "linear")
    probe = (np.zeros((5, 2), np.float32), np.zeros(2, np.float32))
    with pytest.raises(UserError, match="takes 5 features but the backbone has 256"):
        deployment_model(small_encoder, 32, "linear", probe)


def test_a_subclassed_backbone_is_told():
    class Own(keras.Model):
        def call(self, inputs):
            return tf.reduce_mean(inputs, axis=(1, 2))

    own = Own(name="own")
    own.build((None, 8, 8, 3))
    own.compute_output_shape((None, 8, 8, 3))
    encoder = Encoder(own, None)
    with pytest.raises(UserError, match="'own' cannot be converted because it is not a functional"):
        deployment_model(encoder, 8)


def test_nested_models_are_frozen_too(wrap):
    inner_input = keras.Input((8, 8, 3))
    inner = keras.Model(inner_input, BinaryConv2D(4, 3, name="inside")(inner_input), name="inner")
    encoder = wrap(lambda image: inner(image))
    deployed = deployment_model(encoder, 8)
    frozen = deployed.get_layer("own").get_layer("inner").get_layer("inside")
    with lq.context.quantized_scope(True):
        expected = inner.get_layer("inside").get_weights()
    np.testing.assert_array_equal(frozen.kernel, expected[0])
