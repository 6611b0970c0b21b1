"""Backbones by name: one registered function adds a network."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.registry import Registry

keras = tf.keras

BackboneBuilder = Callable[..., keras.Model]

_BACKBONES: Registry[BackboneBuilder] = Registry("backbone")


def register_backbone(name: str) -> Callable[[BackboneBuilder], BackboneBuilder]:
    """Make a network available as `student.backbone: name`.

    The decorated function takes `input_shape` and those of the options `stem`, `width`,
    `binarize_weights`, `kernel_initializer`, `reverse_input`, `patch_size`, `registers`,
    `position_grid` and `layer_scale` that it supports, as keyword arguments with defaults. It
    returns a Keras model from normalized images `(B, H, W, 3)` to pooled features `(B, C)`.

    >>> @register_backbone("mean_color")
    ... def mean_color(input_shape):
    ...     image = keras.Input(input_shape)
    ...     return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    >>> build_backbone("mean_color", (32, 32, 3)).output_shape
    (None, 3)

    Args:
        name: The name to use in a configuration.

    Raises:
        ConfigError: If another function has the name.
    """
    return _BACKBONES.decorator(name)


def backbone_names() -> list[str]:
    """The names that `build_backbone` takes, sorted."""
    return _BACKBONES.names()


def backbone_plugin(name: str) -> str | None:
    """The plugin that has registered a backbone; None if it is ours, or unknown."""
    return _BACKBONES.plugin_of(name)


def backbone_options(name: str) -> dict[str, Any]:
    """The options that a backbone takes, with their defaults.

    >>> backbone_options("resnet18")
    {'stem': 'imagenet', 'width': 1.0, 'reverse_input': False}

    Args:
        name: One of `backbone_names()`.

    Raises:
        ConfigError: If there is no backbone of that name.
    """
    parameters = inspect.signature(_BACKBONES.get(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "input_shape"}


def build_backbone(name: str, input_shape: tuple[int, int, int], **options: Any) -> keras.Model:
    """Build a backbone by name, with fresh weights.

    Args:
        name: One of `backbone_names()`.
        input_shape: `(height, width, channels)`, in pixels.
        **options: Options of this backbone, see `backbone_options`. An option that is None
            keeps the backbone's default.

    Returns:
        A Keras model from normalized images `(B, H, W, 3)` to features `(B, C)`.

    Raises:
        ConfigError: If the name is unknown, or the backbone has no such option, or an option
            has an impossible value.
        ModelError: If the images are too small for the backbone.
    """
    builder = _BACKBONES.get(name)
    given = {key: value for key, value in options.items() if value is not None}
    supported = backbone_options(name).keys()
    surplus = sorted(given.keys() - supported)
    if surplus:
        known = f"it takes {', '.join(sorted(supported))}" if supported else "it takes no options"
        raise ConfigError(f"Backbone {name!r} has no option {surplus[0]!r}; {known}.")
    return builder(input_shape=tuple(input_shape), **given)
