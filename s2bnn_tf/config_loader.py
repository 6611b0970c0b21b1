"""Strict loading of YAML files and dotted overrides into frozen dataclasses.

Nothing is guessed and nothing is executed: unknown keys, values of the wrong type, and values out
of range are refused with their dotted path. A recipe may come from somebody else, so it reaches no
file outside its own folder, and its size and depth are limited before anything is done with it.
"""

from __future__ import annotations

import dataclasses
import reprlib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.image_size import ImageSize, image_size
from s2bnn_tf.reading import read_bytes
from s2bnn_tf.recipes import is_shipped

T = TypeVar("T")

_LARGEST_RECIPE = 2**20  # bytes; the longest of ours has 2 KiB
_MOST_VALUES = 10_000  # in one recipe, each counted as often as it is referred to


def read_tree(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a YAML file and merge it into the file that it extends.

    Args:
        path: The file.
        seen: The files that extend it, the one that the user named first. A file is extended
            only if it is in the folder of that one, below it, or among the shipped recipes.
    """
    if path.resolve() in seen:
        raise ConfigError(f"{path} extends itself, by way of {seen[-1]}.")
    try:
        text = read_bytes(path, limit=_LARGEST_RECIPE).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise ConfigError(f"Cannot read the recipe {path}: {reason}.") from error
    tree = _parse(text, str(path))
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys and values, as in 'epochs: 100'.")
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends: expected the path of another recipe.")
    seen = (*seen, path.resolve())
    _check_reach(path, parent, seen[0].parent)
    return _merge(read_tree(path.parent / parent, seen), tree)


def _check_reach(path: Path, parent: str, folder: Path) -> None:
    """Refuse to read a file that the recipe's author should not know about."""
    target = (path.parent / parent).resolve()
    if not (target.is_relative_to(folder) or is_shipped(target)):
        raise ConfigError(
            f"{path}: extends: {_shown(parent)} is outside of {folder}, the folder of the "
            "recipe; copy it there."
        )


def _parse(text: str, name: str) -> Any:
    """Parse YAML; refuse what is nested too deeply, or repeats itself beyond all bounds."""
    try:
        tree = yaml.safe_load(text)
    except RecursionError as error:
        raise ConfigError(f"{name} is nested too deeply to be a recipe.") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:  # ValueError: the 45th of a month
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise ConfigError(f"{name} is not valid YAML{line}.") from error
    left, count = [tree], 0
    while left:
        value = left.pop()
        count += 1
        if isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            left += value
        if count + len(left) > _MOST_VALUES:
            raise ConfigError(f"{name} holds more than {_MOST_VALUES:,} values; it is no recipe.")
    return tree


def _shown(value: Any) -> str:
    """A value as it is shown in a message: short, in one line."""
    return reprlib.repr(value)


def _plain(key: Any) -> str:
    """A key as it is shown in a message."""
    return key if isinstance(key, str) and len(key) < 40 and key.isprintable() else _shown(key)


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _merge(below, value)
        merged[key] = value
    return merged


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Change one value in a tree with `"section.key=value"`, the value in YAML."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(
            f"--set {override}: expected KEY=VALUE, as in optimizer.learning_rate=1e-3."
        )
    *sections, key = path.split(".")
    for section in sections:
        if not isinstance(tree.get(section), dict):
            tree[section] = {}
        tree = tree[section]
    tree[key] = _parse(text, f"--set {path}: the value")


def build(cls: type[T], tree: Any, path: str) -> T:
    """Build a dataclass from a mapping; `path` is the dotted path of the mapping."""
    if not isinstance(tree, dict):
        raise ConfigError(f"{path.rstrip('.')}: expected a section with keys, not {_shown(tree)}.")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in tree:
        if key not in fields:
            raise ConfigError(
                f"{path}{_plain(key)}: unknown key; expected one of {', '.join(fields)}."
            )
    return cls(
        **{key: _convert(hints[key], fields[key], tree[key], f"{path}{key}") for key in tree}
    )


def _convert(hint: Any, spec: dataclasses.Field[Any], value: Any, path: str) -> Any:
    if "image_size" in spec.metadata:
        return _convert_image_size(spec, value, path)
    optional = isinstance(hint, types.UnionType)
    if optional:
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if value is None and optional:
        return None
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, f"{path}.")
    if hint == tuple[str, ...]:
        return _convert_names(spec, value, path)
    if "per_channel" in spec.metadata:
        return _convert_channels(spec, value, path)
    if typing.get_origin(hint) is tuple:
        return _convert_range(spec, value, path)
    value = _convert_scalar(hint, value, path)
    _check_limits(spec, value, path)
    return value


def _convert_scalar(hint: type, value: Any, path: str) -> Any:
    expected = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[hint]
    # PyYAML reads 3e-4 as text.
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            value = float(value)
        except (ValueError, OverflowError):
            pass
    right = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    if not right or (hint is float and value - value != 0.0):  # inf and nan
        raise ConfigError(f"{path}: expected {expected}, not {_shown(value)}.")
    return value


def _convert_range(spec: dataclasses.Field[Any], value: Any, path: str) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ConfigError(f"{path}: expected two numbers, as in [0.2, 1.0], not {_shown(value)}.")
    low, high = (_convert_scalar(float, item, path) for item in value)
    for bound in (low, high):
        _check_limits(spec, bound, path)
    if low > high:
        raise ConfigError(f"{path}: expected the smaller number first, not {_shown(value)}.")
    return low, high


def _convert_channels(spec: dataclasses.Field[Any], value: Any, path: str) -> tuple[float, ...]:
    """One number for all channels, or three."""
    values = value if isinstance(value, list | tuple) else [value]
    if len(values) not in (1, 3):
        raise ConfigError(f"{path}: expected one number or three, not {_shown(value)}.")
    numbers = tuple(_convert_scalar(float, item, path) for item in values)
    for number in numbers:
        _check_limits(spec, number, path)
    return numbers


def _convert_image_size(spec: dataclasses.Field[Any], value: Any, path: str) -> ImageSize:
    """A side in pixels, or height and width; a square is one number in every spelling."""
    sides = value if isinstance(value, list | tuple) else [value, value]
    if len(sides) != 2 or not all(type(side) is int for side in sides):
        raise ConfigError(
            f"{path}: expected a whole number, or height and width as in [96, 320], "
            f"not {_shown(value)}."
        )
    for side in sides:
        _check_limits(spec, side, path)
    return image_size(sides)


def _convert_names(spec: dataclasses.Field[Any], value: Any, path: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{path}: expected a list of names, as in [a, b], not {_shown(value)}.")
    for name in value:
        _check_limits(spec, _convert_scalar(str, name, path), path)
    return tuple(dict.fromkeys(value))


def _check_limits(spec: dataclasses.Field[Any], value: Any, path: str) -> None:
    limits = spec.metadata
    if "choices" in limits and value not in limits["choices"]:
        raise ConfigError(
            f"{path}: expected one of {', '.join(map(str, limits['choices']))}, "
            f"not {_shown(value)}."
        )
    words: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
        "at_least": ("{} or more", lambda v, limit: v >= limit),
        "above": ("more than {}", lambda v, limit: v > limit),
        "at_most": ("{} or less", lambda v, limit: v <= limit),
    }
    for kind, (phrase, holds) in words.items():
        if kind in limits and not holds(value, limits[kind]):
            raise ConfigError(
                f"{path}: expected {phrase.format(limits[kind])}, not {_shown(value)}."
            )
