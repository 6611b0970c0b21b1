"""`s2bnn demo`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import RUN


@main.command()
@click.option(
    "--output-dir",
    type=RUN,
    default=Path("runs/demo"),
    help="The directory to write everything to.",
)
def demo(output_dir: Path) -> None:
    """Run the whole chain on built-in data, in minutes.

    It trains a teacher and a binary student in two steps, evaluates and converts the student, and
    writes a report. After an interruption, the same command resumes.

    \b
    Example:
      s2bnn demo --output-dir runs/demo
    """
    from s2bnn_tf.demo import run_demo

    report = run_demo(output_dir)
    click.echo(f"Done. Open {report}.")
