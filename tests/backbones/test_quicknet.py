"""QuickNet: equal to Larq Zoo's layer by layer, with stems for small images and a twin."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import QUICKNET_SIZES, build_backbone
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.layers import BinaryConv2D

pytestmark = pytest.mark.both_sets

keras = tf.keras

NAMES_IN_ZOO = {
    "quicknet_small": "QuickNetSmall",
    "quicknet": "QuickNet",
    "quicknet_large": "QuickNetLarge",
}


def randomize(model: keras.Model) -> None:
    """Random statistics, scales and shifts, as after training; the blur stays as it is."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                positive = "variance" in weight.name or "gamma" in weight.name
                low, high = (0.5, 1.5) if positive else (-0.4, 0.4)
                weight.assign(rng.uniform(low, high, weight.shape))


@pytest.mark.filterwarnings("ignore:The `keras.initializers.serialize")
@pytest.mark.parametrize(
    "name",
    [
        "quicknet_small",
        pytest.param("quicknet", marks=pytest.mark.slow),
        pytest.param("quicknet_large", marks=pytest.mark.slow),
    ],
)
def test_every_layer_computes_what_larq_zoos_computes(name):
    """Each layer of both gets the outputs of Larq Zoo's before it, so that no error adds up."""
    from larq_zoo import sota

    shape = (64, 96, 3)
    theirs = getattr(sota, NAMES_IN_ZOO[name])(input_shape=shape, weights=None, num_classes=7)
    ours = build_backbone(name, shape)
    randomize(theirs)
    ours.set_weights(theirs.get_weights()[:-2])  # their last two are the classifier

    names = [layer.name for layer in theirs.layers]
    network = keras.Model(theirs.input, [layer.output for layer in theirs.layers])
    images = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    values = dict(zip([layer.name for layer in ours.layers], network(images)))
    pooled = len(ours.layers) - 1  # they flatten the pooled map in a layer of its own
    values["pool"] = network(images)[pooled + 1]
    assert len(names) == len(ours.layers) + 3
    for layer in ours.layers[1:]:
        inputs = [values[x.node.layer.name] for x in tf.nest.flatten(layer.input)]
        found = layer(inputs if len(inputs) > 1 else inputs[0], training=False)
        np.testing.assert_allclose(
            found, values[layer.name], rtol=1e-5, atol=1e-5, err_msg=layer.name
        )


@pytest.mark.parametrize("name", QUICKNET_SIZES)
def test_the_sections(name):
    model = build_backbone(name, (224, 224, 3))
    convolutions = [layer for layer in model.layers if isinstance(layer, BinaryConv2D)]
    kernels = [tuple(layer.kernel.shape) for layer in convolutions]
    size = QUICKNET_SIZES[name]
    expected = [(3, 3, c, c) for n, c in zip(size.blocks, size.channels) for _ in range(n)]
    assert kernels == expected
    assert model.output_shape == (None, 512)
    assert model.get_layer("relu").output_shape == (None, 7, 7, 512)


def test_published_parameter_counts():
    """Larq Zoo's table counts no moving statistics but those of the norm without scale."""
    published = {"quicknet_small": 12_655_688, "quicknet": 13_234_088}
    for name, count in published.items():
        model = build_backbone(name, (224, 224, 3))
        norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
        statistics = sum(2 * norm.output.shape[-1] for norm in norms if norm.scale)
        assert model.count_params() - statistics + 512 * 1000 + 1000 == count


@pytest.mark.parametrize(
    ("stem", "shape", "first", "last"),
    [("medium", (64, 96, 3), (32, 48), (4, 6)), ("small", (32, 40, 1), (32, 40), (4, 5))],
)
def test_the_stems_for_small_images(stem, shape, first, last):
    model = build_backbone("quicknet_small", shape, stem=stem, width=0.5)
    assert model.get_layer("stem_bn3").output_shape == (None, *first, 16)
    assert model.get_layer("relu").output_shape == (None, *last, 256)


def test_step_1_has_the_weights_of_step_2_and_real_kernels():
    step1, step2 = (
        build_backbone("quicknet", (32, 32, 3), stem="small", width=0.125, binarize_weights=binary)
        for binary in (False, True)
    )
    assert [w.shape for w in step1.weights] == [w.shape for w in step2.weights]
    for model, binary in ((step1, False), (step2, True)):
        layer = model.get_layer("section2_block1_conv")
        assert layer.binarize_weights == binary
        unit = keras.Model(layer.input, layer.output)(tf.ones((1, *layer.input.shape[1:])))
        whole = tf.reduce_all(unit == tf.round(unit)).numpy()
        assert whole == binary


def test_the_real_valued_twin_is_the_same_network_without_signs_and_ones():
    twin = build_backbone("quicknet_small_real", (32, 32, 3), stem="small", width=0.125)
    step1 = build_backbone(
        "quicknet_small", (32, 32, 3), stem="small", width=0.125, binarize_weights=False
    )
    for layer in step1.layers:
        if isinstance(layer, BinaryConv2D):
            layer.input_quantizer, layer.pad_values = tf.identity, 0.0
    twin.set_weights(step1.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(twin(images), step1(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stem": "large"}, "stem must be one of 'imagenet', 'medium', 'small', not 'large'"),
        ({"width": 0.05}, "width must be at least 0.125, not 0.05"),
    ],
)
def test_impossible_options(options, words):
    with pytest.raises(ConfigError, match=words):
        build_backbone("quicknet", (224, 224, 3), **options)


@pytest.mark.parametrize(
    ("stem", "smallest", "hint"),
    [("imagenet", 29, "stem: medium or small"), ("medium", 15, "stem: small"), ("small", 8, "")],
)
def test_the_smallest_image_of_each_stem(stem, smallest, hint):
    model = build_backbone("quicknet", (smallest, smallest, 3), stem=stem, width=0.125)
    assert model.get_layer("relu").output_shape[1:3] == (1, 1)
    with pytest.raises(ModelError, match=f"needs images of {smallest} pixels or more .*{hint}"):
        build_backbone("quicknet", (smallest - 1, 64, 3), stem=stem)
