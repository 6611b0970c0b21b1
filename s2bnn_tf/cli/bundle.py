"""`s2bnn bundle`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, RUN, json_option, target_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress


@main.command()
@click.argument("run", type=RUN)
@click.argument("output", type=click.Path(path_type=Path))
@target_option
@click.option(
    "--runtime-wheel",
    type=FILE,
    help="The wheel of the runtime for the target. Default: built once, in a few minutes.",
)
@json_option
def bundle(run: Path, output: Path, target: str, runtime_wheel: Path | None, as_json: bool) -> None:
    """Put everything that a device needs into OUTPUT, a folder or a .zip.

    That is the model of RUN, its classes if `s2bnn eval linear` was run, two scripts, the
    runtime, a self-test, and a card with what was measured.

    \b
    Example:
      s2bnn bundle runs/digits/step2 digits.zip --target linux-aarch64
    """
    from s2bnn_tf.export import bundle as write_bundle

    card = write_bundle(run, output, target=target, wheel=runtime_wheel, progress=show_progress)
    print_result(card, as_json, lambda: f"{output}: {len(card['sha256']) + 1} files for {target}")
