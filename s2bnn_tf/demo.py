"""The whole chain on embedded data: teacher, binary student, evaluation, `.tflite`, report."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from s2bnn_tf.config import Config, load_config
from s2bnn_tf.evaluation import evaluate_knn, evaluate_linear, knn_monitor
from s2bnn_tf.export import convert_run, count_operations
from s2bnn_tf.recipes import config_path
from s2bnn_tf.report import read_column, read_gallery, read_mistakes, write_report
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

    It can be stopped at any time; running it again resumes.

    Args:
        output_dir: The directory of the run directories, the `.tflite` and the report.

    Returns:
        The report, an HTML page.

    Raises:
        UserError: If something cannot be written, or the `.tflite` fails verification.
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
    """Load the recipes of configs/digits, with paths to the earlier runs in this directory."""
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
    columns = [
        read_column(runs["teacher"].path, "Teacher", "teacher", **_costs(runs["teacher"])),
        read_column(runs["student"].path, "Binary student", "student", **_costs(runs["student"])),
        read_column(
            runs["untrained"].path, "Untrained student", "untrained", **_costs(runs["untrained"])
        ),
        read_column(model, model.name, "tflite"),
    ]
    galleries = {
        "Teacher": read_gallery(runs["teacher"].path),
        "Binary student": read_gallery(runs["student"].path),
    }
    mistakes = {"Binary student": read_mistakes(runs["student"].path)}
    write_report(
        report,
        title="s2bnn demo: handwritten digits",
        columns=columns,
        curves={_HEADINGS[name]: runs[name].metrics_path for name in _RECIPES},
        galleries=galleries,
        mistakes=mistakes,
        commands=_next_commands(runs["student"].path, model),
        configs={_HEADINGS[name]: runs[name].config_path.read_text() for name in _RECIPES},
    )


def _costs(run: RunDirectory) -> dict[str, int]:
    return count_operations(load_encoder(run.path))


def _next_commands(student: Path, model: Path) -> list[tuple[str, str]]:
    fashion = "fashion_mnist/teacher"
    return [
        (f"s2bnn benchmark {model}", "Measure latency, memory and operations on this machine"),
        (f"s2bnn embed {model} photos/ --output embeddings.npz", "Embed your own images"),
        (
            f"s2bnn convert {student} classifier.tflite --head linear",
            "Convert to a classifier with the linear probe inside",
        ),
        (
            f"s2bnn train configs/{fashion}.yaml --output-dir runs/{fashion}",
            "Train the same chain on Fashion-MNIST, first the teacher",
        ),
    ]


def _say(what: str, done: int = 0, total: int = 0) -> None:
    print(f"{what}: {done}/{total}" if total else what, file=sys.stderr, flush=True)
