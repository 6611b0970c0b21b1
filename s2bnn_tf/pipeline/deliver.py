"""What a fit leaves behind: the model, the bundle, the features of all pictures, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2bnn_tf.data import open_source
from s2bnn_tf.errors import DeviceError
from s2bnn_tf.evaluation import embed_sources
from s2bnn_tf.export import bundle, convert_run, count_operations
from s2bnn_tf.pipeline.plan import Plan
from s2bnn_tf.pipeline.results import PIXELS
from s2bnn_tf.progress import Progress
from s2bnn_tf.report import ReportColumn, read_column, read_gallery, write_report
from s2bnn_tf.runs import RunDirectory, load_encoder

_HEADINGS = {"teacher": "Teacher", "step1": "Student, step 1", "student": "Student, step 2"}


def convert(output_dir: Path, progress: Progress) -> Path:
    """Convert and verify the student, unless that is done."""
    model = output_dir / "student.tflite"
    if not (model.is_file() and model.with_suffix(".json").is_file()):
        convert_run(output_dir / "student", model, progress=progress)
    return model


def pack_bundle(plan: Plan, output_dir: Path, progress: Progress) -> Path | None:
    """Write the bundle, unless that is done; None where the runtime cannot be built."""
    path = output_dir / "bundle.zip"
    if path.exists():
        return path
    try:
        bundle(output_dir / "student", path, target=plan.options.target, progress=progress)
    except DeviceError as error:
        progress(f"There is no bundle: {error}")
        return None
    return path


def write_features(plan: Plan, output_dir: Path, progress: Progress) -> Path:
    """Write paths, features and embeddings of all pictures, unless that is done."""
    path = output_dir / "features.npz"
    if path.exists():
        return path
    splits = ("train", "test")[: 2 if plan.look.test else 1]
    sources = [open_source(plan.look.source, split) for split in splits]
    embed_sources(output_dir / "student", sources, path, progress=progress)
    return path


def next_commands(plan: Plan, output_dir: Path) -> list[tuple[str, str]]:
    """The next three steps, as (command, its purpose)."""
    return [
        (
            f"s2bnn deploy {output_dir / 'bundle.zip'} ssh://pi@raspberrypi/~/encoder --benchmark",
            "Install the encoder on a device, test it there and measure its speed",
        ),
        (
            f"s2bnn embed {output_dir / 'student.tflite'} photos/ --output embeddings.npz",
            "Embed other pictures",
        ),
        (f"s2bnn benchmark {output_dir / 'student.tflite'}", "Measure its speed on this machine"),
    ]


def report(plan: Plan, output_dir: Path, results: dict[str, Any]) -> Path:
    """Write `report.html`."""
    runs = {name: RunDirectory(output_dir / name) for name in plan.recipes}
    headings = dict(_HEADINGS) if "step1" in runs else {**_HEADINGS, "student": "Student"}
    path = output_dir / "report.html"
    write_report(
        path,
        title=f"s2bnn fit: {output_dir.resolve().name}",
        headline=headline(results),
        columns=_columns(plan, output_dir, results),
        curves={headings[name]: run.metrics_path for name, run in runs.items()},
        galleries={"Student": read_gallery(runs["student"].path)},
        commands=next_commands(plan, output_dir),
        configs={headings[name]: run.config_path.read_text("utf-8") for name, run in runs.items()},
    )
    return path


def _columns(plan: Plan, output_dir: Path, results: dict[str, Any]) -> list[ReportColumn]:
    def operations(name: str) -> dict[str, int]:
        return count_operations(load_encoder(output_dir / name))

    columns = [
        read_column(output_dir / "student", "1-bit student", "student", **operations("student")),
        read_column(output_dir / "student.tflite", "student.tflite", "tflite"),
        read_column(output_dir / "untrained", "Untrained student", "untrained"),
    ]
    if "teacher" in plan.recipes:
        columns.insert(
            0, read_column(output_dir / "teacher", "Teacher", "teacher", **operations("teacher"))
        )
    for side in PIXELS:
        name = f"pixels_{side}x{side}"
        if results["knn"][name] is not None:
            knn, linear = ({"top1": results[metric][name]} for metric in ("knn", "linear"))
            columns.append(ReportColumn(f"Raw pixels, {side}x{side}", knn=knn, linear=linear))
    return columns


def headline(results: dict[str, Any]) -> str:
    """The result in a sentence or two, good or bad, with what to do about it."""
    knn, kept = results["knn"], results["neighbors_kept"]
    if knn["student"] is None:
        if kept is None:
            return "Nothing was held out, so nothing was measured."
        return (
            f"The student keeps {_percent(kept['top1'])} of its teacher's nearest neighbors, and "
            f"{_percent(kept['top5'])} of the nearest five; without labels, nobody can say how "
            "often they are right."
        )
    pixels = max(knn[f"pixels_{side}x{side}"] for side in PIXELS)
    numbers = (
        f"{_percent(knn['student'])} of the held-out pictures are recognized by their nearest "
        f"neighbors; by raw pixels it is {_percent(pixels)}, by the teacher "
        f"{_percent(knn['teacher'])}, and untrained {_percent(knn['untrained'])}"
    )
    if knn["student"] <= pixels:
        return (
            "The student does not beat comparing raw pixels, so do not use it: give it more time "
            f"with --minutes, more pictures, or a better teacher with --teacher. {numbers}."
        )
    return f"{numbers}."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
