"""`s2bnn deploy`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import json_option
from s2bnn_tf.cli.output import print_result, say


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("destination", metavar="ssh://USER@HOST/FOLDER")
@click.option("--benchmark", is_flag=True, help="Measure the latency on the device too.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="To measure.")
@json_option
def deploy(bundle: Path, destination: str, benchmark: bool, threads: int, as_json: bool) -> None:
    """Put BUNDLE on a device: copy, install, self-test, and measure.

    By the system's ssh, with your keys. It can be repeated: what is there is not copied again.

    \b
    Example:
      s2bnn deploy digits.zip ssh://pi@raspberrypi/~/digits --benchmark
    """
    from s2bnn_tf.export import deploy_bundle

    result = deploy_bundle(bundle, destination, benchmark=benchmark, threads=threads, progress=say)
    print_result(result, as_json, lambda: _describe(result))


def _describe(result: dict) -> str:
    line = (
        f"This device computes what the host computed (cosine {result['selftest']['cosine']:.6f})"
    )
    if "benchmark" in result:
        measured = result["benchmark"]["benchmark"]
        line += f"; median {measured['median_ms']:.2f} ms of {measured['runs']} runs"
    return line + "."
