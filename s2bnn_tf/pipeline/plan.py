"""The plan of a fit, made from the pictures, the time and the machine, and written once."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from s2bnn_tf.config import Config, StudentConfig
from s2bnn_tf.image_size import describe_size
from s2bnn_tf.pipeline.beginning import describe_beginning, describe_beside
from s2bnn_tf.pipeline.choices import choose, choose_what_fits, sizes_and_batches
from s2bnn_tf.pipeline.lengths import (
    name_plugins,
    set_lengths,
    time_of_the_rest,
    time_stages,
)
from s2bnn_tf.pipeline.look import Look
from s2bnn_tf.pipeline.measure import MOST_MEASURED, memory_to_measure
from s2bnn_tf.pipeline.objects import is_binary_network
from s2bnn_tf.pipeline.options import Options
from s2bnn_tf.pipeline.recipes import load
from s2bnn_tf.pipeline.storing import check_features, may_store, store_targets
from s2bnn_tf.progress import Progress, no_progress
from s2bnn_tf.runs import is_keras_file
from s2bnn_tf.training import room_to_train


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        options: What was asked for.
        look: What was found.
        recipes: The changes to the shipped recipe of each stage.
        minutes: The expected time of each stage; empty if no steps were timed.
        memory_mib: The expected peak of memory: what `s2bnn summary` counts for all stages, and
            what measuring takes; 0 likewise.
    """

    options: Options
    look: Look
    recipes: dict[str, tuple[str, ...]]
    minutes: dict[str, float]
    memory_mib: int

    def config(self, stage: str) -> Config:
        """The recipe of a stage.

        Raises:
            ConfigError: If it is not possible.
        """
        return load(stage, self.recipes[stage])

    @property
    def first(self) -> str:
        """The student's first stage."""
        return "step1" if "step1" in self.recipes else "student"

    def lines(self) -> list[str]:
        """The plan in about ten lines."""
        student = self.config("student")
        look, data = self.look, student.data
        own = "teacher" in self.recipes
        beside = describe_beside(self.config(self.first))
        lines = [
            f"pictures   {look.train:,} to learn from, {look.test:,} to measure with"
            + (f" ({MOST_MEASURED:,} of each)" if look.train > MOST_MEASURED else ""),
            f"classes    {len(look.class_names) or 'none'}"
            + (", used to measure and never to learn" if look.class_names else ""),
            f"input      {describe_size(data.image_size)} {'gray ' * (data.channels == 1)}pixels, "
            f"crops of {100 * (data.crop_scale or (0, 0))[0]:.0f} to 100 % of a picture",
            f"color      {'can tell' if look.color and data.channels == 3 else 'cannot tell'} the "
            "pictures apart: "
            f"{100 * (data.jitter_probability or 0):.0f} % of the crops are changed in it",
            f"student    {_describe(student.student, 'step1' in self.recipes)}; begins with "
            + describe_beginning(self.options.init, self.config(self.first)),
            f"teacher    its own, by contrast{beside}: enough to start with, and less than a "
            "network that has seen millions of pictures: of photographs, --teacher dinov2_vits14 "
            "(Apache-2.0); s2bnn teachers lists more"
            if own
            else f"teacher    {self.options.teacher}{beside}{_describe_storing(student)}",
        ]
        for stage in self.recipes:
            config = self.config(stage)
            passes = (config.steps or 0) * config.data.batch_size / look.train
            lines.append(
                f"{stage:<10} {config.steps:,} steps of {config.data.batch_size} pictures "
                f"({passes:,.{0 if passes >= 10 else 1}f} passes)"
                + (f", {self.minutes[stage]:.1f} minutes" if self.minutes else "")
            )
        if self.minutes:
            rest, total = self.minutes["rest"], sum(self.minutes.values())
            lines.append(f"rest       {rest:.1f} minutes to measure, convert, and report")
            lines.append(f"in all     {total:.0f} minutes, {self.memory_mib:,} MiB of memory")
        return lines


def make_plan(
    look: Look,
    options: Options,
    spent: float,
    progress: Progress | None = None,
    *,
    timed: bool = True,
) -> Plan:
    """Choose the recipes, and time a few real steps of them.

    Args:
        look: The pictures.
        options: What was asked for.
        spent: The seconds that are spent already.
        progress: Called at the start of each step.
        timed: Whether to time steps, and to count their memory; without, `options.overrides` names
            their number.

    Raises:
        ConfigError: If the time or the memory allows nothing, or an override is not possible.
        UserError: If the teacher cannot be used.
    """
    given = tuple(o for o in options.overrides if o.startswith("steps="))
    check_features(options.teacher, look)
    if not timed:
        recipes = choose(look, options, *next(sizes_and_batches(look, options)))
        complete = {s: (*r, *given, *name_plugins(load(s, r))) for s, r in recipes.items()}
        return Plan(options, look, complete, {}, 0)
    recipes, memory = choose_what_fits(look, options, room_to_train())
    memory += memory_to_measure(look.train, look.test, color=look.color)
    stores = may_store(options.teacher, options.overrides)
    costs = time_stages(recipes, options, progress or no_progress, stores=stores)
    rest = time_of_the_rest(look, recipes, costs)
    begin = sum(cost.start_seconds for cost in costs.values())
    left = 60 * options.minutes - spent - rest - begin
    student = load("student", recipes["student"])
    recipes, costs, storing = store_targets(
        recipes, costs, student, look.train, left, stores=stores
    )
    spent += rest + begin + storing
    recipes, minutes = set_lengths(recipes, costs, options, look.train, spent)
    minutes["step1" if "step1" in recipes else "student"] += storing / 60
    return Plan(options, look, recipes, {**minutes, "rest": rest / 60}, memory // 2**20)


def place(plan: Plan, output_dir: Path) -> Plan:
    """Name the runs of a plan that others start from, below the output directory."""
    recipes = dict(plan.recipes)
    if "teacher" in recipes:
        teacher = json.dumps(str(output_dir / "teacher"))
        for stage in recipes.keys() - {"teacher"}:
            recipes[stage] = (*recipes[stage], f"teacher.weights={teacher}")
    if "step1" in recipes:
        step1 = json.dumps(str(output_dir / "step1"))
        recipes["student"] = (*recipes["student"], f"student.init_from={step1}")
    return dataclasses.replace(plan, recipes=recipes)


def _describe(student: StudentConfig, two_steps: bool) -> str:
    """The student in a line of the plan."""
    if is_keras_file(student.backbone):
        binary = is_binary_network(student.backbone)
        kind = "1-bit layers" if binary else "real-valued, since it has no 1-bit layers"
        return f"a Keras network of your own, {kind}; in one step, as it is"
    parts = [student.backbone]
    parts += [f"width {student.width:g}"] if student.width is not None else []
    parts += [f"{student.stem} stem"] if student.stem is not None else []
    parts += ["1-bit weights and activations"] if two_steps else ["in one step, as it is"]
    return ", ".join(parts)


def _describe_storing(student: Config) -> str:
    """How the targets of a given teacher come about, where it does not run along."""
    teacher = student.teacher
    if teacher is None or not teacher.cache:
        return ""
    return f", which looks once at {teacher.crops} crops of each picture"
