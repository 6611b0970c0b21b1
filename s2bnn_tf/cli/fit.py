"""`s2bnn fit`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import json_option, target_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress


@main.command()
@click.argument("images", metavar="IMAGES")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, readable=False),  # what is refused there is said in words
    required=True,
    help="The directory to write everything to; the same command resumes there.",
)
@click.option(
    "--teacher",
    help="A run directory, the name of a published teacher (see s2bnn teachers), a .keras or .onnx "
    "file, or a file of features (.npz). Default: trained here.",
)
@click.option(
    "--words",
    metavar="FILE",
    help="A list of words to name pictures by, for a teacher that knows words, or a file of s2bnn "
    "words.",
)
@click.option(
    "--minutes",
    default=30.0,
    type=click.FloatRange(0, min_open=True),
    help="The time for all of it. On two cores, 500 pictures need 8 at the least.",
)
@target_option
@click.option(
    "--size",
    type=click.Choice(["small", "medium", "large"]),
    help="Of the student: 32, 96 or 128 pixels. Default: by the size of the pictures.",
)
@click.option(
    "--init",
    metavar="MODEL",
    help="What the student begins with: a run directory, a .tflite of the same network, starter, "
    "or random. Default: the starter, where the student has its network.",
)
@click.option(
    "--hold-out",
    default=0.2,
    type=click.FloatRange(0, 1, max_open=True),
    help="The share of the pictures to measure with.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipes.")
@click.option("--dry-run", is_flag=True, help="Stop after the plan.")
@json_option
def fit(
    images: str,
    output_dir: Path,
    teacher: str | None,
    words: str | None,
    minutes: float,
    target: str,
    size: str | None,
    init: str | None,
    hold_out: float,
    overrides: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a 1-bit encoder of IMAGES, a folder of pictures or videos, for a device; resumable.

    It looks at the pictures, plans, trains a teacher and the student, measures the student
    against raw pixels, and writes the .tflite, a bundle for the device, an index of the pictures to
    search, and a report. Subfolders are classes, which are used to measure and never to learn.

    \b
    Example:
      s2bnn fit photos/ --output-dir runs/pets --minutes 30
    """
    from s2bnn_tf.pipeline import Options, run_fit

    options = Options(minutes, teacher, size, init, overrides, hold_out, target, words=words)
    run_and_describe(
        lambda: run_fit(images, output_dir, options, dry_run=dry_run, progress=show_progress),
        as_json,
    )


def run_and_describe(run: Callable[[], dict[str, Any]], as_json: bool) -> None:
    """Run a fit, and print what it leaves behind or, after Ctrl-C, how to resume."""
    from s2bnn_tf.training import TrainingStopped

    try:
        result = run()
    except TrainingStopped as stopped:
        click.echo(f"{stopped} The same command resumes from there.", err=True)
        raise SystemExit(130) from stopped
    print_result(result, as_json, lambda: _describe(result))


def _describe(result: dict[str, Any]) -> str:
    if "paths" not in result:
        return "Nothing was trained: without --dry-run, the same command does all of that."
    paths = result["paths"]
    lines = [f"Done in {result['minutes']:.1f} minutes. Open {paths['report']}"]
    if paths["bundle"]:
        lines.append("Next, on a device:")
        bundle = shlex.quote(paths["bundle"])
        lines.append(f"  s2bnn deploy {bundle} ssh://pi@raspberrypi/~/encoder --benchmark")
    return "\n".join(lines)
