"""The layers of a head, from the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from s2bnn_tf.errors import ModelError
from s2bnn_tf.torch_import.words import few

_MOST_HEAD_LAYERS = 16


def leading_number(part: str) -> int | None:
    """The number that a part of a name is, or None; `isdigit` also accepts `²`, which is none."""
    return int(part) if re.fullmatch(r"0|[1-9][0-9]{0,5}", part) else None


def head_layers(shapes: Mapping[str, tuple[int, ...]], activation: str) -> list[tuple[str, str]]:
    """Derive the layers of a head from the tensors of its `nn.Sequential`.

    >>> head_layers({"0.weight": (8, 8), "0.bias": (8,), "2.weight": (4, 8)}, "relu")
    [('linear', '0.'), ('relu', ''), ('linear', '2.')]

    Args:
        shapes: Shapes by name within the head; a single linear layer has no number.
        activation: The activation before every linear layer but the first.

    Returns:
        The words that `projection_head` takes, each with the prefix of its tensors.

    Raises:
        ModelError: If there are more layers than a head has.
    """
    layers: list[tuple[str, str]] = []
    prefixes = {name.rpartition(".")[0] for name in shapes}
    if len(prefixes) > _MOST_HEAD_LAYERS:
        raise ModelError(
            f"The head has {len(prefixes)} layers ({few(sorted(prefixes))}); those that can be "
            f"imported have up to {_MOST_HEAD_LAYERS}."
        )
    for prefix in sorted(prefixes, key=_position):
        prefix = prefix and f"{prefix}."
        linear = len(shapes.get(f"{prefix}weight", ())) == 2
        if linear and layers:
            layers.append((activation, ""))
        layers.append(("linear" if linear else "bn", prefix))
    return layers


def _position(prefix: str) -> tuple[int, str]:
    """The sort key of a layer in a head: its number; a layer without a number comes first."""
    number = leading_number(prefix)
    return (-1 if number is None else number, prefix)
