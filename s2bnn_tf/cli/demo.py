"""`s2bnn demo`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import RUN


@main.command()
@click.option("--output-dir", type=RUN, default=Path("runs/demo"), show_default=True)
def demo(output_dir: Path) -> None:
    """Run the whole chain on embedded data, in minutes.

    Teacher, binary student in two steps, evaluation, .tflite, report.

    \b
    Example:
      s2bnn demo --output-dir runs/demo
    """
    from s2bnn_tf.demo import run_demo

    report = run_demo(output_dir)
    click.echo(f"Done. Open {report}")
