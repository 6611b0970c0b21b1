"""`s2bnn train`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, RUN


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
    from s2bnn_tf.config import load_config

    recipe = load_config(config, overrides)

    from s2bnn_tf.evaluation import knn_monitor
    from s2bnn_tf.report import write_run_report
    from s2bnn_tf.training import TrainingStopped, is_chief, open_strategy, pretrain

    strategy = open_strategy(recipe.distribution)  # before anything is computed
    monitor = knn_monitor(recipe) if recipe.monitor.knn_every else None
    try:
        run = pretrain(
            recipe,
            output_dir,
            resume=resume,
            monitors={"knn": monitor} if monitor else {},
            strategy=strategy,
        )
    except TrainingStopped as stopped:
        click.echo(f"{stopped} The same command resumes from there.", err=True)
        sys.exit(130)
    if not is_chief(strategy):
        return
    write_run_report(run.path)
    click.echo(f"Done. The encoder is in {run.path}; next, run: s2bnn eval knn {run.path}")
