"""The whole chain on embedded data: teacher, binary student, evaluation, `.tflite`, report."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from s2bnn_tf.config import Config, load_config
from s2bnn_tf.evaluation import evaluate_knn, evaluate_linear, knn_monitor
from s2bnn_tf.export import convert_run, count_operations
from s2bnn_tf.recipes import config_path
from s2bnn_tf.report import Role, read_column, read_gallery, write_report
from s2bnn_tf.runs import RunDirectory, leave_untrained, load_encoder
from s2bnn_tf.training import pretrain

_HEADINGS = {"teacher": "Teacher", "step1": "Student, step 1", "student": "Student, step 2"}
_RECIPES = {
    "teacher": "digits/teacher.yaml",
    "step1": "digits/distillation_step1.yaml",
    "student": "digits/distillation_step2.yaml",
}


def run_demo(output_dir: Path) -> Path:
    """Run the chain on scikit-learn's digits and write everything below one directory.

    It can be stopped and run again: it goes on where it was.

    Args:
        output_dir: Where the run directories, the `.tflite` and the report go.

    Returns:
        The report, an HTML page.

    Raises:
        UserError: if something cannot be written or the file does not verify.
    """
    started = time.monotonic()
    recipes = _recipes(output_dir)
    runs = {name: RunDirectory(output_dir / name) for name in ("untrained", *recipes)}
    for number, (name, recipe) in enumerate(recipes.items(), 1):
        _say(f"[{number}/5] Training: {name}")
        monitor = knn_monitor(recipe)
        pretrain(recipe, runs[name].path, monitors={"knn": monitor} if monitor else {})
    leave_untrained(recipes["student"], runs["untrained"].path)

    _say("[4/5] Converting and verifying the student")
    model = output_dir / "student.tflite"
    convert_run(runs["student"].path, model, progress=_say)

    _say("[5/5] Evaluating by nearest neighbors and by a linear probe")
    for path in (*(runs[name].path for name in ("teacher", "student", "untrained")), model):
        for evaluate in (evaluate_knn, evaluate_linear):
            result = evaluate(path)
            _say(f"  {path.name}: {result['metric']} {100 * result['top1']:.1f} %")
    report = output_dir / "report.html"
    _write_report(report, runs, model)
    _say(f"The chain took {(time.monotonic() - started) / 60:.1f} minutes.")
    return report


def _recipes(output_dir: Path) -> dict[str, Config]:
    """The recipes of configs/digits, each run reading the ones before it in this directory."""
    teacher = f"teacher.weights={output_dir / 'teacher'}"
    overrides = {
        "teacher": [],
        "step1": [teacher],
        "student": [teacher, f"student.init_from={output_dir / 'step1'}"],
    }
    return {
        name: load_config(config_path(file), overrides[name]) for name, file in _RECIPES.items()
    }


def _write_report(report: Path, runs: dict[str, RunDirectory], model: Path) -> None:
    models: dict[Role, str] = {
        "teacher": "Teacher",
        "student": "Binary student",
        "untrained": "Untrained student",
    }
    columns = []
    for name, heading in models.items():
        costs = count_operations(load_encoder(runs[name].path))
        columns.append(read_column(runs[name].path, heading, name, **costs))
    columns.append(read_column(model, model.name, "tflite"))
    galleries = {models[name]: read_gallery(runs[name].path) for name in ("teacher", "student")}
    write_report(
        report,
        title="s2bnn demo: handwritten digits",
        columns=columns,
        curves={_HEADINGS[name]: runs[name].metrics_path for name in _RECIPES},
        galleries=galleries,
        commands=_next_commands(runs["student"].path, model),
        configs={_HEADINGS[name]: runs[name].config_path.read_text() for name in _RECIPES},
    )


def _next_commands(student: Path, model: Path) -> list[tuple[str, str]]:
    fashion = "fashion_mnist/teacher"
    return [
        (f"s2bnn benchmark {model}", "Latency, memory and operations on this machine"),
        (f"s2bnn embed {model} photos/ --output embeddings.npz", "Embed your own images"),
        (
            f"s2bnn convert {student} classifier.tflite --head linear",
            "A classifier with the linear probe inside",
        ),
        (
            f"s2bnn train configs/{fashion}.yaml --output-dir runs/{fashion}",
            "Begin the same on Fashion-MNIST",
        ),
    ]


def _say(what: str, done: int = 0, total: int = 0) -> None:
    print(what, file=sys.stderr, flush=True)
