"""What a user may ask of a fit."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.objectives import check_objective
from s2bnn_tf.pipeline.recipes import load
from s2bnn_tf.runs import options_of
from s2bnn_tf.training import check_loggers


@dataclass(frozen=True)
class Options:
    """What the user asks for, and what resuming compares.

    Attributes:
        minutes: The time of the whole command.
        teacher: A run directory, the name of a published teacher, a `.keras` file or a file of
            features; None to train one.
        size: One of SIZES; None to choose by the pictures.
        init: A run directory or a `.tflite` to start the student from, `"starter"`, or
            `"random"`; None for the starter, where the student has its network.
        overrides: Changes to the recipes, as `section.key=value`.
        share: The share of the pictures that is held out.
        target: The kind of device.
        given: The names and digests of objects of the calling program; see `take_objects`.
        words: A list of words, or a file of `s2bnn words`, to name pictures by; None for neither.
    """

    minutes: float = 30.0
    teacher: str | None = None
    size: str | None = None
    init: str | None = None
    overrides: tuple[str, ...] = ()
    share: float = 0.2
    target: str = "linux-aarch64"
    given: tuple[str, ...] = ()
    words: str | None = None


def check_overrides(options: Options) -> None:
    """Refuse changes that no recipe accepts, before anything is looked at.

    Raises:
        ConfigError: If a key or a value is not accepted, or a logger is not installed, or there
            is no such network.
    """
    config = load("student", options.overrides)
    options_of(config.student.backbone)
    objective = config.objective
    if options.words is not None and not (objective.regression_weight or objective.words_weight):
        raise ConfigError(
            "--words needs a student that learns its teacher's features: leave the objective at "
            "regression, or set objective.words_weight."
        )
    if options.words is not None and config.teacher is not None and config.teacher.beside:
        raise ConfigError(
            "--words needs a student in the space of one teacher: leave teacher.beside out."
        )
    if config.objective.custom is not None:
        check_objective(config.objective.custom)
    check_loggers(config.loggers)


def _written(value: object) -> str:
    """An option's value for people."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def check_same(planned: Options, options: Options, path: Path) -> None:
    """Refuse to resume a plan with other options than those it was made for.

    Raises:
        ConfigError: If an option differs; the message names it.
    """
    names = [field.name for field in dataclasses.fields(Options)]
    differing = [
        f"{name}: {_written(getattr(planned, name))}, now {_written(getattr(options, name))}"
        for name in names
        if getattr(planned, name) != getattr(options, name)
    ]
    if differing:
        raise ConfigError(
            f"{path} holds a fit with other options ({'; '.join(differing)}); undo that, or "
            "choose another --output-dir."
        )
