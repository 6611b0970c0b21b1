"""`s2bnn eval` and its measures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import RUN_OR_MODEL, data_option, json_option
from s2bnn_tf.cli.output import print_result, show_progress


@main.group(name="eval")
def evaluate() -> None:
    """Measure a run directory or a .tflite on labelled images.

    \b
    Example:
      s2bnn eval knn runs/digits/step2
    """


@evaluate.command()
@click.argument("run_or_model", type=RUN_OR_MODEL)
@data_option
@click.option("--k", default=20, show_default=True, type=click.IntRange(1), help="Neighbours.")
@click.option("--temperature", default=0.07, show_default=True, type=click.FloatRange(1e-3))
@json_option
def knn(run_or_model: Path, data: str | None, k: int, temperature: float, as_json: bool) -> None:
    """Accuracy of a weighted nearest-neighbour vote on the features.

    \b
    Example:
      s2bnn eval knn runs/digits/step2
      s2bnn eval knn student.tflite --data folder:photos --json
    """
    from s2bnn_tf.evaluation import evaluate_knn

    result = evaluate_knn(run_or_model, data, k=k, temperature=temperature, progress=show_progress)
    _after_eval(run_or_model, result, as_json)


@evaluate.command()
@click.argument("run_or_model", type=RUN_OR_MODEL)
@data_option
@click.option(
    "--protocol",
    type=click.Choice(["fast", "paper"]),
    default="fast",
    show_default=True,
    help="L-BFGS on features extracted once, or the paper's SGD on augmented views.",
)
@click.option("--epochs", default=100, show_default=True, type=click.IntRange(1), help="paper")
@click.option("--learning-rate", default=0.1, show_default=True, type=float, help="paper")
@json_option
def linear(
    run_or_model: Path,
    data: str | None,
    protocol: Literal["fast", "paper"],
    epochs: int,
    learning_rate: float,
    as_json: bool,
) -> None:
    """Accuracy of a linear classifier on the frozen features.

    \b
    Example:
      s2bnn eval linear runs/digits/step2
      s2bnn eval linear runs/digits/step2 --protocol paper --epochs 100
    """
    from s2bnn_tf.evaluation import evaluate_linear

    result = evaluate_linear(
        run_or_model,
        data,
        protocol=protocol,
        epochs=epochs,
        learning_rate=learning_rate,
        progress=show_progress,
    )
    _after_eval(run_or_model, result, as_json)


def _after_eval(path: Path, result: dict, as_json: bool) -> None:
    if path.is_dir():
        from s2bnn_tf.evaluation import write_run_report

        write_run_report(path)
    print_result(
        result,
        as_json,
        lambda: (
            f"{result['metric']} accuracy of {result['model']} on {result['data']}: "
            f"{100 * result['top1']:.2f} % (top 5: {100 * result['top5']:.2f} %)"
        ),
    )
