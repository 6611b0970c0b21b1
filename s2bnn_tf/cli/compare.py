"""`s2bnn compare`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, RUN_OR_MODEL, json_option
from s2bnn_tf.cli.output import print_result


@main.command()
@click.argument("runs_or_models", nargs=-1, required=True, type=RUN_OR_MODEL)
@click.option("--report", type=FILE, help="Also write an HTML page to this file.")
@json_option
def compare(runs_or_models: tuple[Path, ...], report: Path | None, as_json: bool) -> None:
    """Show what `s2bnn eval` has measured for several runs or .tflite files, side by side.

    Those that were not measured are named. Numbers that were measured in different ways are marked
    as such in the report.

    \b
    Example:
      s2bnn compare runs/digits/teacher runs/digits/step2 student.tflite --report compare.html
    """
    from s2bnn_tf.report import compare_models, describe_comparison

    compared = compare_models(runs_or_models, report)
    print_result(compared, as_json, lambda: describe_comparison(compared, report))
