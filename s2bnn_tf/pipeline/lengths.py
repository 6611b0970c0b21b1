"""How long the stages of a fit take: a few steps of each are timed, and the time is shared out."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from pathlib import Path

from s2bnn_tf.config import Config
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.pipeline.choices import MANY
from s2bnn_tf.pipeline.look import Look
from s2bnn_tf.pipeline.measure import MOST_MEASURED
from s2bnn_tf.pipeline.options import Options
from s2bnn_tf.pipeline.recipes import load
from s2bnn_tf.pipeline.storing import rehearsal
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import leave_untrained, plugins_of
from s2bnn_tf.training import Cost, return_memory, time_steps

# The share of the time that is trained in; measuring, conversion and the report take the rest.
_SHARES = {"teacher": 0.25, "step1": 0.45, "student": 0.30}
_SHARES_OF_MANY = {"teacher": 0.5, "step1": 0.30, "student": 0.20}
_MOST_PASSES = {"teacher": 250, "step1": 250, "student": 150}  # over the pictures
_REST_SECONDS = 60.0  # measuring, conversion and the report, with few pictures
# Seconds, most of them for the linear probe of 32x32 pixels: without color, and with it
_PROBES_PER_PICTURE = (0.01, 0.02)
_ENCODING = 0.2  # of the time that a step takes for a picture; at most twice of what was measured
_STARTER = 0.004  # seconds in which the starter encodes a picture; it is measured if they are few
_FEWEST_STEPS = 100


def time_stages(
    recipes: dict[str, tuple[str, ...]], options: Options, report: Progress, *, stores: bool
) -> dict[str, Cost]:
    """Train a few steps of each stage; both steps of the student cost the same.

    Where the teacher may store its targets, the student's steps are timed with stored ones.
    """
    costs: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as temporary:
        teacher: str | Path = options.teacher or ""
        if "teacher" in recipes:
            report("Timing the teacher's steps")
            config = load("teacher", recipes["teacher"])
            costs["teacher"] = time_steps(config)
            return_memory()
            teacher = leave_untrained(config, Path(temporary) / "teacher").path
        report("Timing the student's steps")
        stage = "step1" if "step1" in recipes else "student"
        changes = rehearsal(recipes[stage]) if stores else recipes[stage]
        timed = load(stage, (*changes, f"teacher.weights={json.dumps(str(teacher))}"))
        costs["step1"] = costs["student"] = time_steps(timed)
    return_memory()
    return costs


def set_lengths(
    recipes: dict[str, tuple[str, ...]],
    costs: dict[str, Cost],
    options: Options,
    pictures: int,
    spent: float,
) -> tuple[dict[str, tuple[str, ...]], dict[str, float]]:
    """Give each stage its share of the seconds that are not spent.

    Returns:
        The recipes with their steps, and the minutes of each stage.

    Raises:
        ConfigError: If the time is too short for any of them.
    """
    given = tuple(o for o in options.overrides if o.startswith("steps="))
    shares = _SHARES if pictures < MANY else _SHARES_OF_MANY
    shares = {stage: shares[stage] / sum(shares[s] for s in recipes) for stage in recipes}
    seconds = 60 * options.minutes - spent
    needed = max(_FEWEST_STEPS * costs[stage].seconds / shares[stage] for stage in recipes)
    if seconds < needed and not given:
        raise ConfigError(
            f"{options.minutes:g} minutes are too few for anything here; give at least "
            f"--minutes {math.ceil((spent + needed) / 60)}."
        )
    complete, minutes = {}, {}
    for stage, changes in recipes.items():
        cost = costs[stage]
        config = load(stage, (*changes, *given))
        if not given:
            most = math.ceil(_MOST_PASSES[stage] * pictures / config.data.batch_size)
            steps = min(int(shares[stage] * seconds / cost.seconds), most)
            config = dataclasses.replace(config, steps=steps)
        complete[stage] = (*changes, f"steps={config.steps}", *name_plugins(config))
        minutes[stage] = ((config.steps or 0) * cost.seconds + cost.start_seconds) / 60
    return complete, minutes


def time_of_the_rest(
    look: Look, recipes: dict[str, tuple[str, ...]], costs: dict[str, Cost]
) -> float:
    """The seconds of measuring, conversion and the report, by the timed steps."""
    measured = sum(min(count, MOST_MEASURED) for count in (look.train, look.test))
    of_one = {
        stage: _ENCODING * costs[stage].seconds / load(stage, recipes[stage]).data.batch_size
        for stage in recipes
    }
    student = of_one["student"]
    teacher = of_one.get("teacher", costs["student"].crop_seconds or student)
    encoding = measured * (teacher + student)  # and the untrained student
    encoding += (look.train + look.test) * student  # the features of all pictures
    if look.train < MANY:
        encoding += measured * _STARTER
    probes = min(look.train, MOST_MEASURED) * _PROBES_PER_PICTURE[look.color]
    return _REST_SECONDS + probes + encoding


def name_plugins(config: Config) -> tuple[str, ...]:
    """The change that names the plugins which a recipe needs, if it needs any."""
    names = plugins_of(config)
    return (f"plugins={json.dumps(names)}",) if names else ()
