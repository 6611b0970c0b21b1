"""Rotated kernels on a rotated image: the network with PyTorch's symmetric padding."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import ReverseImage, build_backbone

keras = tf.keras


def test_both_axes_are_reversed_and_channels_are_not():
    images = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(ReverseImage()(images), images[:, ::-1, ::-1])


def turned_copy(name: str, size: int, **options) -> tuple[keras.Model, keras.Model]:
    """A network, and the same network with its kernels and the image rotated."""
    keras.utils.set_random_seed(0)
    plain = build_backbone(name, (size, size, 3), **options)
    turned = build_backbone(name, (size, size, 3), reverse_input=True, **options)
    turned.set_weights(
        [value[::-1, ::-1] if value.ndim == 4 else value for value in plain.get_weights()]
    )
    return plain, turned


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        # A strided map with an odd number of pixels needs no line of padding.
        ("resnet18", 33, {"width": 0.125}),
        ("resnet50", 33, {"width": 0.125, "stem": "small"}),
    ],
)
def test_on_odd_sizes_nothing_changes(name, size, options):
    plain, turned = turned_copy(name, size, **options)
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    np.testing.assert_allclose(turned(images), plain(images), rtol=1e-5, atol=1e-4)


def test_on_even_sizes_the_padding_is_on_the_other_side():
    """The first convolution has the padding of PyTorch, which differs from `same`."""
    plain, turned = turned_copy("resnet18", 32, width=0.125)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    assert np.abs(turned(images) - plain(images)).max() > 1e-3
    # The stem with explicit padding, rotated by hand, computes the same.
    np.testing.assert_allclose(
        first_convolution(turned)(images), padded_convolution(plain, images), atol=1e-5
    )


def first_convolution(model: keras.Model) -> keras.Model:
    return keras.Model(model.input, model.get_layer("stem_conv").output)


def padded_convolution(plain: keras.Model, images: np.ndarray) -> np.ndarray:
    """The stem with PyTorch's padding of 3 on every side, rotated like the maps in the network."""
    padded = np.pad(images, ((0, 0), (3, 3), (3, 3), (0, 0)))
    kernel = plain.get_layer("stem_conv").kernel
    return tf.nn.conv2d(padded, kernel, strides=2, padding="VALID").numpy()[:, ::-1, ::-1]
