"""The command line: `s2bnn`, `python cli.py` and `python -m s2bnn_tf` are the same.

TensorFlow is imported inside command bodies only, so that help is instant.
Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import click

from s2bnn_tf import __version__
from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.errors import UserError

_RUN = click.Path(path_type=Path, file_okay=False)
_RUN_OR_MODEL = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_data = click.option(
    "--data",
    metavar="SOURCE",
    help="Images: digits, idx:DIR or folder:DIR. Those it was trained on unless given.",
)


class _Commands(click.Group):
    """Tells a user's mistake in one sentence; anything else keeps its traceback."""

    def invoke(self, ctx: click.Context):
        quiet_tensorflow()
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:  # no room, no permission, a path that is not there
            where = f" ({error.filename})" if error.filename else ""
            raise click.ClickException(f"{error.strerror or error}{where}.") from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Train 1-bit vision encoders without labels, and run them on small devices.

    \b
    Start here:
      s2bnn demo
      s2bnn train configs/digits/teacher.yaml --output-dir runs/digits/teacher
    """


@main.command()
@click.option("--output-dir", type=_RUN, default=Path("runs/demo"), show_default=True)
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


@main.command()
@click.argument("config", type=_FILE)
@click.option("--output-dir", type=_RUN, required=True, help="The run directory.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key.")
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with the run in the directory, or refuse a directory that has one.",
)
def train(config: Path, output_dir: Path, overrides: tuple[str, ...], resume: bool) -> None:
    """Train a student, or a teacher, as the recipe CONFIG says.

    Ctrl-C saves; the same command goes on from there.

    \b
    Example:
      s2bnn train configs/digits/distillation_step1.yaml --output-dir runs/digits/step1 \\
          --set epochs=50 --set optimizer.learning_rate=1e-3
    """
    from s2bnn_tf.config import load_config

    recipe = load_config(config, overrides)

    from s2bnn_tf.evaluation import knn_monitor, write_run_report
    from s2bnn_tf.training import TrainingStopped, pretrain

    monitor = knn_monitor(recipe) if recipe.monitor.knn_every else None
    try:
        run = pretrain(
            recipe, output_dir, resume=resume, monitors={"knn": monitor} if monitor else {}
        )
    except TrainingStopped as stopped:
        click.echo(f"{stopped} The same command goes on from there.", err=True)
        sys.exit(130)
    write_run_report(run.path)
    click.echo(f"Done. The encoder is in {run.path}; next: s2bnn eval knn {run.path}")


@main.group(name="eval")
def evaluate() -> None:
    """Measure a run directory or a .tflite on labelled images.

    \b
    Example:
      s2bnn eval knn runs/digits/step2
    """


@evaluate.command()
@click.argument("run_or_model", type=_RUN_OR_MODEL)
@_data
@click.option("--k", default=20, show_default=True, type=click.IntRange(1), help="Neighbours.")
@click.option("--temperature", default=0.07, show_default=True, type=click.FloatRange(1e-3))
@_json
def knn(run_or_model: Path, data: str | None, k: int, temperature: float, as_json: bool) -> None:
    """Accuracy of a weighted nearest-neighbour vote on the features.

    \b
    Example:
      s2bnn eval knn runs/digits/step2
      s2bnn eval knn student.tflite --data folder:photos --json
    """
    from s2bnn_tf.evaluation import evaluate_knn

    result = evaluate_knn(run_or_model, data, k=k, temperature=temperature, progress=_progress)
    _after_eval(run_or_model, result, as_json)


@evaluate.command()
@click.argument("run_or_model", type=_RUN_OR_MODEL)
@_data
@click.option(
    "--protocol",
    type=click.Choice(["fast", "paper"]),
    default="fast",
    show_default=True,
    help="L-BFGS on features extracted once, or the paper's SGD on augmented views.",
)
@click.option("--epochs", default=100, show_default=True, type=click.IntRange(1), help="paper")
@click.option("--learning-rate", default=0.1, show_default=True, type=float, help="paper")
@_json
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
        progress=_progress,
    )
    _after_eval(run_or_model, result, as_json)


@main.command()
@click.argument("run", type=_RUN)
@click.argument("output", type=_FILE)
@click.option(
    "--head",
    type=click.Choice(["none", "projection", "linear"]),
    default="none",
    show_default=True,
    help="Features, embeddings, or classes (after `s2bnn eval linear`).",
)
@_data
@_json
def convert(run: Path, output: Path, head: str, data: str | None, as_json: bool) -> None:
    """Convert the encoder in RUN to OUTPUT.tflite, and verify the file.

    The file takes RGB images, 0-255. A JSON card beside it says all about it.

    \b
    Example:
      s2bnn convert runs/digits/step2 student.tflite
      s2bnn convert runs/digits/step2 classifier.tflite --head linear
    """
    from s2bnn_tf.export import convert_run

    card = convert_run(run, output, head=head, data=data, progress=_say)
    _print(card, as_json, lambda: _describe_card(output, card))


@main.command()
@click.argument("model", type=_FILE)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--runs", default=50, show_default=True, type=click.IntRange(1))
@_json
def benchmark(model: Path, threads: int, runs: int, as_json: bool) -> None:
    """Latency, memory, size and operations of a .tflite on this machine.

    \b
    Example:
      s2bnn benchmark student.tflite --threads 2
    """
    from s2bnn_tf.export import benchmark as measure
    from s2bnn_tf.export import describe_benchmark

    result = measure(model, threads=threads, runs=runs, progress=_progress)
    _print(result, as_json, lambda: describe_benchmark(result))


@main.command()
@click.argument("run_or_model", type=_RUN_OR_MODEL)
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=_FILE, required=True, help="An .npz file.")
@_json
def embed(run_or_model: Path, images: tuple[Path, ...], output: Path, as_json: bool) -> None:
    """Embed IMAGES (files or folders) into OUTPUT: arrays paths, features, embeddings.

    \b
    Example:
      s2bnn embed student.tflite photos/ cat.jpg --output embeddings.npz
    """
    from s2bnn_tf.evaluation import embed_images

    result = embed_images(run_or_model, images, output, progress=_progress)
    _print(result, as_json, lambda: f"{result['images']} images embedded in {output}.")


@main.command()
@click.argument("config_or_run", type=click.Path(path_type=Path))
@_json
def summary(config_or_run: Path, as_json: bool) -> None:
    """Layers, parameters, binary and float operations of a recipe's or a run's student.

    \b
    Example:
      s2bnn summary configs/imagenet/distillation_step2.yaml
    """
    from s2bnn_tf.config import load_config
    from s2bnn_tf.weights import RunDirectory, build_encoder

    is_run = config_or_run.is_dir()
    recipe = RunDirectory(config_or_run).config if is_run else load_config(config_or_run)
    encoder = build_encoder(recipe)

    from s2bnn_tf.export import count_operations

    if not as_json:
        import larq

        larq.models.summary(encoder.backbone, print_fn=click.echo)
        larq.models.summary(encoder.head, print_fn=click.echo)
    else:
        click.echo(json.dumps(count_operations(encoder)))


def _after_eval(path: Path, result: dict, as_json: bool) -> None:
    if path.is_dir():
        from s2bnn_tf.evaluation import write_run_report

        write_run_report(path)
    _print(
        result,
        as_json,
        lambda: (
            f"{result['metric']} accuracy of {result['model']} on {result['data']}: "
            f"{100 * result['top1']:.2f} % (top 5: {100 * result['top5']:.2f} %)"
        ),
    )


def _print(result: dict, as_json: bool, describe) -> None:
    click.echo(json.dumps(result) if as_json else describe())


def _describe_card(output: Path, card: dict) -> str:
    size = f"{card['size_bytes'] / 1024:.0f} KiB"
    return f"{output}: {size}, verified; its card is {output.with_suffix('.json')}"


def _say(message: str) -> None:
    click.echo(message, err=True)


def _progress(what: str, done: int, total: int) -> None:
    """One moving line in a terminal, one line at the end elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r{what}: {done}/{total}\x1b[K", nl=done >= total, err=True)
    elif done >= total:
        click.echo(f"{what}: {done}/{total}", err=True)
