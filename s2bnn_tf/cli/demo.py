"""`s2bnn demo`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.fit import run_and_describe
from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import RUN, json_option
from s2bnn_tf.progress import show_progress


@main.command()
@click.option(
    "--output-dir",
    type=RUN,
    default=Path("runs/demo"),
    help="The directory to write everything to.",
)
@json_option
def demo(output_dir: Path, as_json: bool) -> None:
    """Run `fit` on photographs that installed packages ship, in minutes.

    600 crops of 25 photographs, whose labels are the photographs, go through the whole chain, from
    pictures to a bundle for a device and a report. After an interruption, the same command resumes.

    \b
    Example:
      s2bnn demo --output-dir runs/demo
    """
    from s2bnn_tf.demo import run_demo

    run_and_describe(lambda: run_demo(output_dir, progress=show_progress), as_json)
