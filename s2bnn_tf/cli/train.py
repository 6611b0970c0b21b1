"""`s2bnn train`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, RUN
from s2bnn_tf.collecting import few_collections


@main.command()
@click.argument("config", type=FILE)
@click.option("--output-dir", type=RUN, required=True, help="The run directory.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one key of the recipe. May be repeated.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    help="Resume the run in the directory, or refuse a directory that holds one.",
)
def train(config: Path, output_dir: Path, overrides: tuple[str, ...], resume: bool) -> None:
    """Train the student, or the teacher, that the recipe CONFIG describes.

    Ctrl-C saves a checkpoint, and the same command resumes from there.

    \b
    Example:
      s2bnn train configs/digits/distillation_step1.yaml --output-dir runs/digits/step1 \\
          --set epochs=50 --set optimizer.learning_rate=1e-3
    """
    with few_collections():
        from s2bnn_tf.pipeline import train_recipe
        from s2bnn_tf.training import TrainingStopped

    try:
        run = train_recipe(config, output_dir, overrides=overrides, resume=resume)
    except TrainingStopped as stopped:
        click.echo(f"{stopped} The same command resumes from there.", err=True)
        sys.exit(130)
    if run is not None:
        click.echo(f"Done. The encoder is in {run.path}; next, run: s2bnn eval knn {run.path}")
