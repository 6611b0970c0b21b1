"""`s2bnn deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import json_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("destination", metavar="ssh://USER@HOST/FOLDER")
@click.option("--benchmark", is_flag=True, help="Also measure the latency on the device.")
@click.option("--threads", default=1, type=click.IntRange(1), help="Threads of the benchmark.")
@json_option
def deploy(bundle: Path, destination: str, benchmark: bool, threads: int, as_json: bool) -> None:
    """Copy BUNDLE to a device, install it, and run its self-test there.

    The connection uses the system's ssh with your keys. The command can be repeated: files that
    are already on the device are not copied again.

    \b
    Example:
      s2bnn deploy digits.zip ssh://pi@raspberrypi/~/digits --benchmark
    """
    from s2bnn_tf.export import deploy_bundle

    result = deploy_bundle(
        bundle, destination, benchmark=benchmark, threads=threads, progress=show_progress
    )
    print_result(result, as_json, lambda: _describe(result))


def _describe(result: dict[str, Any]) -> str:
    line = f"The device computes what the host computed (cosine {result['selftest']['cosine']:.6f})"
    if "benchmark" in result:
        measured = result["benchmark"]["benchmark"]
        line += f"; the median of {measured['runs']} runs is {measured['median_ms']:.2f} ms"
    return line + "."
