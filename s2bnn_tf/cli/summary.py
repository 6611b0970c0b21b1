"""`s2bnn summary`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import json_option

if TYPE_CHECKING:
    from s2bnn_tf.backbones import Encoder
    from s2bnn_tf.config import Config


@main.command()
@click.argument("config_or_run", type=click.Path(path_type=Path))
@json_option
def summary(config_or_run: Path, as_json: bool) -> None:
    """Show the layers, parameters, operations, and memory of a student.

    CONFIG_OR_RUN is a recipe or a run directory. The memory is that of training on a processor,
    counted and not measured.

    \b
    Example:
      s2bnn summary configs/imagenet/distillation_step2.yaml
    """
    from s2bnn_tf.config import load_config
    from s2bnn_tf.runs import RunDirectory, build_encoder

    is_run = config_or_run.is_dir()
    recipe = RunDirectory(config_or_run).config if is_run else load_config(config_or_run)
    encoder = build_encoder(recipe)

    from s2bnn_tf.export import count_operations

    memory = _memory(recipe, encoder)
    if not as_json:
        import larq

        larq.models.summary(encoder.backbone, print_fn=click.echo)
        if encoder.head is not None:
            larq.models.summary(encoder.head, print_fn=click.echo)
        click.echo("\n".join(_describe(memory)))
    else:
        click.echo(json.dumps({**count_operations(encoder), "memory": memory}))


def _memory(recipe: Config, encoder: Encoder) -> dict[str, Any]:
    """What training needs, in bytes, and what would fit into what is available."""
    from s2bnn_tf.errors import UserError
    from s2bnn_tf.teachers import is_feature_file, load_teacher
    from s2bnn_tf.training import count_step_memory, room_to_train

    teacher = reason = None
    guide = recipe.teacher
    if guide is not None and not guide.cache and not is_feature_file(guide.weights):
        try:
            data = recipe.data
            teacher = load_teacher(guide, image_size=data.image_size, channels=data.channels)
        except UserError as error:  # mostly, it has not been trained yet
            reason = str(error)
    student = encoder if recipe.precision == "float32" else None  # it computes in floats
    memory, room = count_step_memory(recipe, student=student, teacher=teacher), room_to_train()
    return {
        **{f"{name}_bytes": size for name, size in memory.by_purpose().items()},
        "total_bytes": memory.total(),
        "batch_size": memory.batch_size,
        "available_bytes": room,
        "largest_batch": None if room is None else memory.largest_batch(room),
        "accumulation_steps": None if room is None else memory.fewest_parts(room),
        "teacher_left_out": reason,
    }


def _describe(memory: dict[str, Any]) -> list[str]:
    from s2bnn_tf.training import gibibytes

    def size(name: str) -> str:
        return gibibytes(memory[f"{name}_bytes"])

    held = f"{size('images')} for the images, " if memory["images_bytes"] else ""
    lines = [
        f"Training with batches of {memory['batch_size']} needs about {size('total')} of memory "
        f"without a GPU: {size('program')} for the program, {size('weights')} for weights, "
        f"{held}{size('views')} for views, and {size('tensors')} for the tensors of a step."
    ]
    if memory["teacher_left_out"] is not None:
        lines.append(f"The teacher is not counted. {memory['teacher_left_out']}")
    if memory["available_bytes"] is not None:
        largest, parts = memory["largest_batch"], memory["accumulation_steps"]
        fits = f"the largest batch is {largest:,}" if largest else "no batch fits"
        if parts is not None and parts > 1:
            fits += f", or optimizer.accumulation_steps is {parts} or more"
        lines.append(f"Here, {size('available')} are available, so {fits}.")
    return lines
