"""What a fit leaves behind: model, bundle, features and index of all pictures, and the report."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from s2bnn_tf.data import open_source
from s2bnn_tf.errors import DeviceError
from s2bnn_tf.evaluation import embed_sources, readable
from s2bnn_tf.export import bundle, convert_run, count_operations, index_pictures
from s2bnn_tf.pipeline.measure import PIXELS
from s2bnn_tf.pipeline.plan import Plan
from s2bnn_tf.pipeline.words import PAGE, WORDS, describe_words
from s2bnn_tf.progress import Progress
from s2bnn_tf.report import ReportColumn, read_column, read_gallery, read_mistakes, write_report
from s2bnn_tf.runs import RunDirectory, load_encoder

NBSP = "\u00a0"  # a space that does not break, for pages
_HEADINGS = {"teacher": "Teacher", "step1": "Student, step 1", "student": "Student, step 2"}


def convert(output_dir: Path, progress: Progress, head: str = "none") -> Path:
    """Convert and verify the student, unless that is done."""
    model = output_dir / "student.tflite"
    if not (model.is_file() and model.with_suffix(".json").is_file()):
        progress("Converting and verifying")
        convert_run(output_dir / "student", model, head=head, progress=progress)
    return model


def pack_bundle(plan: Plan, output_dir: Path, progress: Progress) -> Path | None:
    """Write the bundle, unless that is done; None where the runtime cannot be built."""
    path = output_dir / "bundle.zip"
    if path.exists():
        return path
    also: tuple[Path, ...] = ()
    encoder: Path | None = output_dir / "student.tflite"
    if plan.options.words is not None:  # the student's file has the teacher's head, then
        also = tuple(output_dir / name for name in ("student.tflite", "student.json", WORDS))
        encoder = None
    try:
        bundle(
            output_dir / "student",
            path,
            target=plan.options.target,
            encoder=encoder,
            also=also,
            progress=progress,
        )
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


def write_index(plan: Plan, output_dir: Path, progress: Progress) -> Path | None:
    """Bring the index of all pictures up to date, which `s2bnn-run search` takes.

    There is none of images that are not picture files, and where the runtime is not installed.
    """
    path = output_dir / "index.npz"
    splits = ("train", "test")[: 2 if plan.look.test else 1]
    sources = [readable(open_source(plan.look.source, split)) for split in splits]
    files = [file for source in sources for file in getattr(source, "paths", ())]
    if not files:
        progress("There is no index: these images are not picture files.")
        return None
    try:
        index_pictures(output_dir / "student.tflite", files, path, progress=progress)
    except DeviceError as error:
        progress(f"There is no new index: {error}")
        return path if path.exists() else None
    return path


def next_commands(plan: Plan, output_dir: Path) -> list[tuple[str, str]]:
    """The next three steps, as (command for a shell, its purpose)."""
    bundle, model = (shlex.quote(str(output_dir / n)) for n in ("bundle.zip", "student.tflite"))
    on_a_device = (
        f"s2bnn deploy {bundle} ssh://pi@raspberrypi/~/encoder --benchmark",
        "Install the encoder on a device, test it there and measure its speed",
    )
    if not (output_dir / "bundle.zip").exists():
        student = shlex.quote(str(output_dir / "student"))
        on_a_device = (
            f"s2bnn bundle {student} {bundle} --target {plan.options.target}",
            "Make the bundle for a device, which could not be made so far",
        )
    return [
        on_a_device,
        (
            f"s2bnn embed {model} photos/ --output embeddings.npz",
            "Embed other pictures",
        ),
        (f"s2bnn benchmark {model}", "Measure its speed on this machine"),
    ]


def report(
    plan: Plan, output_dir: Path, results: dict[str, Any], words: tuple[dict[str, Any], list[Any]]
) -> Path:
    """Write `report.html`; `words` is what `finish_words` has found."""
    runs = {name: RunDirectory(output_dir / name) for name in plan.recipes}
    headings = dict(_HEADINGS) if "step1" in runs else {**_HEADINGS, "student": "Student"}
    shown = {name: output_dir / name for name in ("teacher", "student") if name in runs}
    path = output_dir / "report.html"
    write_report(
        path,
        title=f"s2bnn fit: {output_dir.resolve().name}",
        headline=headline(results).replace(" %", f"{NBSP}%"),
        columns=_columns(plan, output_dir, results),
        notes=plan.look.said,
        curves={headings[name]: run.metrics_path for name, run in runs.items()},
        galleries={headings[name]: read_gallery(run) for name, run in shown.items()},
        mistakes={headings["student"]: read_mistakes(shown["student"])},
        words=(describe_words(words[0]), words[1]),
        words_page=PAGE if words[1] and (output_dir / PAGE).exists() else None,
        commands=next_commands(plan, output_dir),
        configs={headings[name]: run.config_path.read_text("utf-8") for name, run in runs.items()},
    )
    return path


def _columns(plan: Plan, output_dir: Path, results: dict[str, Any]) -> list[ReportColumn]:
    def operations(name: str) -> dict[str, int]:
        return count_operations(load_encoder(output_dir / name))

    kept, rank = results["neighbors_kept"], results["rank"]
    own = {"rank": rank["student"], "neighbors_kept": kept and kept["top1"]}
    if "teacher" in plan.recipes:
        run = output_dir / "teacher"
        teacher = read_column(
            run, "Teacher", "teacher", rank=rank["teacher"], **operations("teacher")
        )
    else:
        teacher = _measured_here("Teacher", "teacher", results, rank=rank["teacher"])
    return [
        teacher,
        read_column(
            output_dir / "student", "1-bit student", "student", **own, **operations("student")
        ),
        read_column(output_dir / "student.tflite", "student.tflite", "tflite"),
        read_column(output_dir / "untrained", "Untrained student", "untrained"),
        *(
            [_measured_here("The starter", "starter", results)]
            if "starter" in results["knn"]
            else []
        ),
        *(
            _measured_here(f"Raw pixels, {side}x{side}", f"pixels_{side}x{side}", results)
            for side in PIXELS
            if results["knn"][f"pixels_{side}x{side}"] is not None
        ),
    ]


def _measured_here(name: str, key: str, results: dict[str, Any], **more: Any) -> ReportColumn:
    """The column of what has no directory of results of its own."""
    found: dict[str, Any] = {
        metric: {"top1": results[metric][key]}
        for metric in ("knn", "linear")
        if results[metric][key] is not None
    }
    return ReportColumn(name, **found, **more)


def headline(results: dict[str, Any]) -> str:
    """The result in a few sentences, good or bad; where it is bad, what to do about it is first.

    Args:
        results: As from `measure`.
    """
    knn, linear, kept = results["knn"], results["linear"], results["neighbors_kept"]
    if knn["student"] is None:
        if kept is None:
            return (
                "Nothing was held out, so nothing was measured; without --hold-out 0, a fifth of "
                "the pictures is."
            )
        return (
            f"The student keeps {_percent(kept['top1'])} of its teacher's nearest neighbors, and "
            f"{_percent(kept['top5'])} of the nearest five; without labels, nobody can say how "
            "often they are right."
        )
    pixels = max(PIXELS, key=lambda side: knn[f"pixels_{side}x{side}"])
    starter = f"by the starter {_percent(knn['starter'])}, " if "starter" in knn else ""
    said = [
        f"{_percent(knn['student'])} of the held-out pictures are recognized by their nearest "
        f"neighbors; by raw pixels it is {_percent(knn[f'pixels_{pixels}x{pixels}'])}, by the "
        f"teacher {_percent(knn['teacher'])}, {starter}and untrained {_percent(knn['untrained'])}."
    ]
    if linear["student"] is not None:
        said.append(
            f"By a linear probe, it is {_percent(linear['student'])}{_others(linear, pixels)}."
        )
    return " ".join([*_verdict(knn), *said, *_starter(knn, linear)])


def _verdict(knn: dict[str, float]) -> list[str]:
    """What is wrong with a student, and what to do about it; empty if it is worth using."""
    remedy = "give it more time with --minutes, more pictures, or a better teacher with --teacher"
    if knn["student"] <= max(knn[f"pixels_{side}x{side}"] for side in PIXELS):
        return [f"The student does not beat comparing raw pixels, so do not use it: {remedy}."]
    if knn["student"] <= knn["untrained"]:
        return [f"The student is no better than before training, so do not use it: {remedy}."]
    return []


def _starter(knn: dict[str, float], linear: dict[str, float | None]) -> list[str]:
    """How good the starter is without any training, where the student is no better."""
    found = knn.get("starter")
    by_probe = (linear.get("starter") or 0) >= (linear["student"] or 0)
    if found is None or found < knn["student"] or not by_probe:
        return []
    return [
        f"The starter that the student began with has {_percent(found)} as it is, on pictures of "
        "its own size; use it by its name, starter, or give the student more time."
    ]


def _others(linear: dict[str, float | None], pixels: int) -> str:
    """The others' linear probes, those that could be fitted."""
    names = {
        f"pixels_{pixels}x{pixels}": "raw pixels",
        "teacher": "the teacher",
        "starter": "the starter",
    }
    known = [f"{words} {_percent(top1)}" for n, words in names.items() if (top1 := linear.get(n))]
    return f" ({', '.join(known)})" if known else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
