"""`s2bnn eval` and its verbs, one per measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import (
    RUN,
    RUN_OR_MODEL,
    changes_option,
    data_option,
    json_option,
    runtime_option,
)
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress

Describe = Callable[[dict[str, Any]], str]


@main.group(name="eval")
def evaluate() -> None:
    """Measure a run directory, a .tflite, or whatever can be a teacher, on labeled images.

    \b
    Example:
      s2bnn eval knn runs/digits/step2
    """


@evaluate.command()
@click.argument("run_or_model", type=RUN_OR_MODEL)
@data_option
@click.option("--k", default=20, type=click.IntRange(1), help="Neighbors that vote.")
@click.option(
    "--temperature",
    default=0.07,
    type=click.FloatRange(1e-3),
    help="Temperature of the votes' weights.",
)
@changes_option
@runtime_option
@json_option
def knn(
    run_or_model: Path,
    data: str | None,
    k: int,
    temperature: float,
    changes: tuple[str, ...],
    runtime: str | None,
    as_json: bool,
) -> None:
    """Measure the accuracy of a weighted nearest-neighbor vote on the features.

    \b
    Example:
      s2bnn eval knn runs/digits/step2
      s2bnn eval knn student.tflite --data folder:photos --json
    """
    from s2bnn_tf.evaluation import evaluate_knn
    from s2bnn_tf.teachers import open_with_changes

    encoder = open_with_changes(run_or_model, changes, runtime)
    result = evaluate_knn(
        run_or_model, data, k=k, temperature=temperature, encoder=encoder, progress=show_progress
    )
    _after_eval(run_or_model, result, as_json)


@evaluate.command()
@click.argument("run_or_model", type=RUN_OR_MODEL)
@data_option
@click.option(
    "--protocol",
    type=click.Choice(["fast", "paper"]),
    default="fast",
    help="fast: L-BFGS on features that are extracted once. paper: the paper's SGD on augmented "
    "views.",
)
@click.option("--epochs", default=100, type=click.IntRange(1), help="Epochs of the paper's SGD.")
@click.option(
    "--learning-rate", default=0.1, type=float, help="First learning rate of the paper's SGD."
)
@changes_option
@runtime_option
@json_option
def linear(
    run_or_model: Path,
    data: str | None,
    protocol: Literal["fast", "paper"],
    epochs: int,
    learning_rate: float,
    changes: tuple[str, ...],
    runtime: str | None,
    as_json: bool,
) -> None:
    """Measure the accuracy of a linear classifier on the frozen features.

    The classifier of a run is kept in it, for `s2bnn convert --head linear` and `s2bnn bundle`.

    \b
    Example:
      s2bnn eval linear runs/digits/step2
      s2bnn eval linear runs/digits/step2 --protocol paper --epochs 100
    """
    from s2bnn_tf.evaluation import evaluate_linear
    from s2bnn_tf.teachers import open_with_changes

    encoder = open_with_changes(run_or_model, changes, runtime)
    result = evaluate_linear(
        run_or_model,
        data,
        protocol=protocol,
        epochs=epochs,
        learning_rate=learning_rate,
        encoder=encoder,
        progress=show_progress,
    )
    _after_eval(run_or_model, result, as_json)


@evaluate.command(name="low-label")
@click.argument("run_or_model", type=RUN_OR_MODEL)
@data_option
@click.option(
    "--labels",
    multiple=True,
    metavar="AMOUNT",
    default=["1%", "10%", "10"],
    help="A share of the labels (1%) or a number per class (10). May be repeated.",
)
@click.option(
    "--draws", default=5, type=click.IntRange(1), help="Random draws of the labels per amount."
)
@changes_option
@runtime_option
@json_option
def low_label(
    run_or_model: Path,
    data: str | None,
    labels: tuple[str, ...],
    draws: int,
    changes: tuple[str, ...],
    runtime: str | None,
    as_json: bool,
) -> None:
    """Measure the accuracy of linear classifiers that see few labels.

    Each amount is drawn several times and reported with its confidence interval.

    \b
    Example:
      s2bnn eval low-label runs/digits/step2
      s2bnn eval low-label student.tflite --labels 5 --labels 20% --draws 10
    """
    from s2bnn_tf.evaluation import evaluate_low_label
    from s2bnn_tf.report import describe_low_label
    from s2bnn_tf.teachers import open_with_changes

    encoder = open_with_changes(run_or_model, changes, runtime)
    result = evaluate_low_label(
        run_or_model, data, amounts=labels, draws=draws, encoder=encoder, progress=show_progress
    )
    _after_eval(run_or_model, result, as_json, describe_low_label)


@evaluate.command()
@click.argument("run", type=RUN)
@data_option
@click.option(
    "--labels", default="100%", help="A share of the labels (10%) or a number per class (10)."
)
@click.option("--epochs", default=20, type=click.IntRange(1), help="Epochs of training.")
@click.option(
    "--learning-rate", default=1e-3, type=click.FloatRange(1e-9), help="First learning rate."
)
@click.option(
    "--min-crop",
    default=0.08,
    type=click.FloatRange(0, 1, min_open=True),
    help="Smallest share of the area that a training crop covers. More suits small images.",
)
@click.option("--batch-size", default=128, type=click.IntRange(2), help="Images per step.")
@click.option(
    "--seed",
    default=0,
    type=int,
    help="Seed of the draw of labels, the first weights and the augmentation.",
)
@json_option
def finetune(
    run: Path,
    data: str | None,
    labels: str,
    epochs: int,
    learning_rate: float,
    min_crop: float,
    batch_size: int,
    seed: int,
    as_json: bool,
) -> None:
    """Measure the accuracy after training the whole network of RUN further, on labels.

    The run itself stays as it is.

    \b
    Example:
      s2bnn eval finetune runs/digits/step2 --labels 10% --epochs 20
    """
    from s2bnn_tf.evaluation import evaluate_finetune

    result = evaluate_finetune(
        run,
        data,
        labels=labels,
        epochs=epochs,
        learning_rate=learning_rate,
        min_crop=min_crop,
        batch_size=batch_size,
        seed=seed,
        progress=show_progress,
    )
    _after_eval(run, result, as_json)


@evaluate.command()
@click.argument("run_or_model", type=RUN_OR_MODEL)
@data_option
@click.option(
    "--teacher",
    help="A run directory, a published name, or a .keras or .onnx file. Default: the teacher of "
    "the run.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(1e-3),
    help="Temperature of the distributions. Default: the temperature of the run.",
)
@click.option("--views", default=2048, type=click.IntRange(2), help="Augmented views to compare.")
@runtime_option
@json_option
def calibration(
    run_or_model: Path,
    data: str | None,
    teacher: str | None,
    temperature: float | None,
    views: int,
    runtime: str | None,
    as_json: bool,
) -> None:
    """Measure how far the student's distribution is from its teacher's, on the same views.

    The results are entropy, KL divergence and rank agreement, and after `s2bnn eval linear` also
    the reliability of the classifier. Charts are written beside calibration.json.

    \b
    Example:
      s2bnn eval calibration runs/digits/step2
      s2bnn eval calibration student.tflite --teacher runs/digits/teacher
    """
    from s2bnn_tf.evaluation import evaluate_calibration
    from s2bnn_tf.report import describe_calibration, draw_calibration

    result = evaluate_calibration(
        run_or_model,
        data,
        teacher=teacher,
        temperature=temperature,
        views=views,
        runtime=runtime,
        progress=show_progress,
        draw=draw_calibration,
    )
    _after_eval(run_or_model, result, as_json, describe_calibration)


def _after_eval(
    path: Path, result: dict[str, Any], as_json: bool, describe: Describe | None = None
) -> None:
    if path.is_dir():
        from s2bnn_tf.report import write_run_report

        write_run_report(path)
    print_result(result, as_json, lambda: (describe or _describe_accuracy)(result))


def _describe_accuracy(result: dict[str, Any]) -> str:
    accuracy = (
        f"{result['metric']} accuracy of {result['model']} on {result['data']}: "
        f"{100 * result['top1']:.2f} % (top 5: {100 * result['top5']:.2f} %)"
    )
    return f"{accuracy}\n{result['hint']}" if result.get("hint") else accuracy
