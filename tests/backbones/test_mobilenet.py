"""MobileNetV2: Keras's own network, with stems for small images."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import build_backbone
from s2bnn_tf.errors import ConfigError, ModelError

pytestmark = pytest.mark.both_sets

keras = tf.keras


def test_it_is_the_network_of_keras():
    """At an odd size, too, where padding by hand and by Keras could differ."""
    shape = (50, 36, 3)
    ours = build_backbone("mobilenet_v2", shape, width=0.35)
    theirs = keras.applications.MobileNetV2(
        shape, alpha=0.35, include_top=False, weights=None, pooling="avg"
    )
    rng = np.random.default_rng(0)
    theirs.set_weights([w + rng.uniform(0, 0.1, w.shape) for w in theirs.get_weights()])
    ours.set_weights(theirs.get_weights())
    images = rng.normal(size=(2, *shape)).astype(np.float32)
    np.testing.assert_allclose(ours(images), theirs(images), rtol=1e-4, atol=1e-5)
    norms = [x for x in ours.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {norm.momentum for norm in norms} == {0.9}


@pytest.mark.parametrize(
    ("stem", "shape", "last"),
    [
        ("imagenet", (64, 96, 3), (2, 3)),
        ("medium", (64, 96, 3), (4, 6)),
        ("small", (32, 32, 1), (4, 4)),
    ],
)
def test_the_stems(stem, shape, last):
    model = build_backbone("mobilenet_v2", shape, stem=stem, width=0.25)
    assert model.get_layer("out_relu").output_shape == (None, *last, 1280)
    assert model.output_shape == (None, 1280)


def test_impossible_options():
    with pytest.raises(ConfigError, match="mobilenet_v2's stem must be one of"):
        build_backbone("mobilenet_v2", (64, 64, 3), stem="large")
    with pytest.raises(ConfigError, match=r"mobilenet_v2's width must be at least 0\.1"):
        build_backbone("mobilenet_v2", (64, 64, 3), width=0.01)
    with pytest.raises(ModelError, match="32 pixels or more on each side, not 31x64"):
        build_backbone("mobilenet_v2", (31, 64, 3), stem="small")
