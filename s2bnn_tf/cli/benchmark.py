"""`s2bnn benchmark`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, json_option, runtime_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress


@main.command()
@click.argument("model", type=FILE)
@click.option("--threads", default=1, type=click.IntRange(1), help="Threads of the interpreter.")
@click.option("--runs", default=50, type=click.IntRange(1), help="Images to time, one at a time.")
@runtime_option
@json_option
def benchmark(model: Path, threads: int, runs: int, runtime: str | None, as_json: bool) -> None:
    """Measure the latency, memory, size and operations of MODEL on this machine.

    MODEL is a .tflite. The numbers are also written beside it, for `s2bnn compare`.

    \b
    Example:
      s2bnn benchmark student.tflite --threads 2
    """
    from s2bnn_tf.evaluation import results_dir
    from s2bnn_tf.export import benchmark as measure
    from s2bnn_tf.export import describe_benchmark
    from s2bnn_tf.files import write_json

    result = measure(model, threads=threads, runs=runs, runtime=runtime, progress=show_progress)
    write_json(results_dir(model) / "benchmark.json", result)
    print_result(result, as_json, lambda: describe_benchmark(result))
