"""`s2bnn summary`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import json_option


@main.command()
@click.argument("config_or_run", type=click.Path(path_type=Path))
@json_option
def summary(config_or_run: Path, as_json: bool) -> None:
    """Show the layers, parameters, and binary and float operations of a student.

    CONFIG_OR_RUN is a recipe or a run directory.

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

    if not as_json:
        import larq

        larq.models.summary(encoder.backbone, print_fn=click.echo)
        if encoder.head is not None:
            larq.models.summary(encoder.head, print_fn=click.echo)
    else:
        click.echo(json.dumps(count_operations(encoder)))
