"""The file of a plan, which resuming reads, and which an earlier version may have written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.files import write_json
from s2bnn_tf.pipeline.look import Look
from s2bnn_tf.pipeline.options import Options
from s2bnn_tf.pipeline.plan import Plan
from s2bnn_tf.reading import Field, ListOf, Number, Object, Text, read_json

_CURE = "choose another --output-dir"
_TEXTS, _TEXT_OR_NOTHING = ListOf(Text()), Text(optional=True)
_PARTS: dict[str, Any] = {"options": Options, "look": Look}
_FIELDS: dict[str, dict[str, Field]] = {
    "options": {
        "minutes": Number(above=0),
        "teacher": _TEXT_OR_NOTHING,
        "size": _TEXT_OR_NOTHING,
        "init": _TEXT_OR_NOTHING,
        "overrides": _TEXTS,
        "share": Number(low=0, high=1),
        "target": Text(),
        "given": ListOf(Text(), optional=True),
        "words": _TEXT_OR_NOTHING,
    },
    "look": {
        "source": Text(),
        "train": Number(low=1, whole=True),
        "test": Number(low=0, whole=True),
        "class_names": _TEXTS,
        "side": Number(low=1, whole=True),
        "said": _TEXTS,
        "left_out": Number(low=0, whole=True),
    },
}
_WHOLE: dict[str, Field] = {
    **{part: Object(fields) for part, fields in _FIELDS.items()},
    "recipes": Object({"student": _TEXTS}, values=_TEXTS),
    "minutes": Object(values=Number(low=0)),
    "memory_mib": Number(low=0, whole=True),
}
# Fields that earlier versions did not write, whose defaults say what these versions did: no objects
# of a program and no words were given, and color was always taken to tell pictures apart.
_LATER = ("given", "words", "color")


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan, so that resuming does not time anything again."""
    write_json(path, dataclasses.asdict(plan))


def read_plan(path: Path) -> Plan | None:
    """Read the plan of an earlier start; None if there is none.

    Raises:
        CheckpointError: If it is damaged, or of another version that planned otherwise.
    """
    try:
        content = read_json(path, dict.fromkeys(_FIELDS, Object()), cure=_CURE)
    except FileNotFoundError:
        return None
    _check_version(path, content)
    content = read_json(path, _WHOLE, cure=_CURE)
    parts = {
        part: made(**{name: _frozen(value) for name, value in content[part].items()})
        for part, made in _PARTS.items()
    }
    recipes = {stage: tuple(changes) for stage, changes in content["recipes"].items()}
    return Plan(
        **parts, recipes=recipes, minutes=content["minutes"], memory_mib=content["memory_mib"]
    )


def _check_version(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a plan that lacks something which has no honest default, or has something unknown."""
    for part, made in _PARTS.items():
        known = {field.name for field in dataclasses.fields(made)}
        missing = sorted(known - content[part].keys() - set(_LATER))
        surplus = sorted(content[part].keys() - known)
        for names, version in ((missing, "an earlier"), (surplus, "a later")):
            if names:
                what = "lacks" if names is missing else "has"
                raise CheckpointError(
                    f"{path} is the plan of {version} version: it {what} {part}.{names[0]}; finish "
                    "the fit with that version, or choose another --output-dir."
                )
        if not isinstance(content[part].get("color", True), bool):
            raise CheckpointError(f"{path} is damaged ({part}.color is no truth value); {_CURE}.")


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
