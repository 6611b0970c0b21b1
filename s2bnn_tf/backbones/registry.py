"""Backbones by name: a new network joins by one registered function."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import tensorflow as tf

from s2bnn_tf.errors import UserError

keras = tf.keras

BackboneBuilder = Callable[..., keras.Model]

_BUILDERS: dict[str, BackboneBuilder] = {}


def register_backbone(name: str) -> Callable[[BackboneBuilder], BackboneBuilder]:
    """Make a network available as `student.backbone: name`.

    The decorated function takes `input_shape` and, as keyword arguments with
    defaults, whichever of the options `stem`, `width`, `binarize_weights`,
    `kernel_initializer` and `reverse_input` it supports. It returns a Keras model from normalized
    images `(B, H, W, 3)` to pooled features `(B, C)`.

    >>> @register_backbone("mean_color")
    ... def mean_color(input_shape):
    ...     image = keras.Input(input_shape)
    ...     return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    >>> build_backbone("mean_color", (32, 32, 3)).output_shape
    (None, 3)

    Args:
        name: The name to use in a configuration.

    Raises:
        ValueError: if the name is taken by another function.
    """

    def register(builder: BackboneBuilder) -> BackboneBuilder:
        taken = _BUILDERS.get(name)
        if taken is not None and taken.__qualname__ != builder.__qualname__:
            raise ValueError(f"A backbone named {name!r} is registered already.")
        _BUILDERS[name] = builder
        return builder

    return register


def backbone_names() -> list[str]:
    """The names that `build_backbone` knows, sorted."""
    return sorted(_BUILDERS)


def build_backbone(name: str, input_shape: tuple[int, int, int], **options) -> keras.Model:
    """Build a backbone by name, with fresh weights.

    Args:
        name: One of `backbone_names()`.
        input_shape: `(height, width, 3)` in pixels.
        **options: Options of this backbone. An option that is None keeps the
            backbone's own default.

    Returns:
        A Keras model from normalized images `(B, H, W, 3)` to features `(B, C)`.

    Raises:
        UserError: if the name is unknown, the backbone has no such option, or
            the images are too small for it.
    """
    if name not in _BUILDERS:
        raise UserError(
            f"There is no backbone named {name!r}; choose one of: {', '.join(backbone_names())}."
        )
    given = {key: value for key, value in options.items() if value is not None}
    supported = set(inspect.signature(_BUILDERS[name]).parameters) - {"input_shape"}
    surplus = sorted(set(given) - supported)
    if surplus:
        known = f"it takes {', '.join(sorted(supported))}" if supported else "it takes no options"
        raise UserError(f"Backbone {name!r} has no option {surplus[0]!r}; {known}.")
    return _BUILDERS[name](input_shape=tuple(input_shape), **given)
