"""Strict loading of YAML files and dotted overrides into frozen dataclasses.

Nothing is guessed and nothing is executed: unknown keys, values of the wrong type, and values out
of range are refused with their dotted path.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from s2bnn_tf.errors import ConfigError

T = TypeVar("T")


def read_tree(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a YAML file and merge it into the file that it extends."""
    if path.resolve() in seen:
        raise ConfigError(f"{path} extends itself, by way of {seen[-1]}.")
    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise ConfigError(f"Cannot read the recipe {path}: {reason}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: the 45th of a month
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise ConfigError(f"{path} is not valid YAML{line}.") from error
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys and values, as in 'epochs: 100'.")
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends: expected the path of another recipe.")
    return _merge(read_tree(path.parent / parent, (*seen, path.resolve())), tree)


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
    try:
        tree[key] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML.") from error


def build(cls: type[T], tree: Any, path: str) -> T:
    """Build a dataclass from a mapping; `path` is the dotted path of the mapping."""
    if not isinstance(tree, dict):
        raise ConfigError(f"{path.rstrip('.')}: expected a section with keys, not {tree!r}.")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in tree:
        if key not in fields:
            raise ConfigError(f"{path}{key}: unknown key; expected one of {', '.join(fields)}.")
    return cls(
        **{key: _convert(hints[key], fields[key], tree[key], f"{path}{key}") for key in tree}
    )


def _convert(hint: Any, spec: dataclasses.Field[Any], value: Any, path: str) -> Any:
    optional = isinstance(hint, types.UnionType)
    if optional:
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if value is None and optional:
        return None
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, f"{path}.")
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
        raise ConfigError(f"{path}: expected {expected}, not {value!r}.")
    return value


def _convert_range(spec: dataclasses.Field[Any], value: Any, path: str) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ConfigError(f"{path}: expected two numbers, as in [0.2, 1.0], not {value!r}.")
    low, high = (_convert_scalar(float, item, path) for item in value)
    for bound in (low, high):
        _check_limits(spec, bound, path)
    if low > high:
        raise ConfigError(f"{path}: expected the smaller number first, not {value!r}.")
    return low, high


def _check_limits(spec: dataclasses.Field[Any], value: Any, path: str) -> None:
    limits = spec.metadata
    if "choices" in limits and value not in limits["choices"]:
        raise ConfigError(f"{path}: expected one of {', '.join(limits['choices'])}, not {value!r}.")
    words: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
        "at_least": ("{} or more", lambda v, limit: v >= limit),
        "above": ("more than {}", lambda v, limit: v > limit),
        "at_most": ("{} or less", lambda v, limit: v <= limit),
    }
    for kind, (phrase, holds) in words.items():
        if kind in limits and not holds(value, limits[kind]):
            raise ConfigError(f"{path}: expected {phrase.format(limits[kind])}, not {value!r}.")
