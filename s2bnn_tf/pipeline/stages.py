"""From a folder of pictures to an encoder on a device, in one resumable call."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from s2bnn_tf.errors import CheckpointError, ConfigError
from s2bnn_tf.files import write_json
from s2bnn_tf.locks import DirectoryLock
from s2bnn_tf.pipeline import deliver
from s2bnn_tf.pipeline.beginning import restore_starter
from s2bnn_tf.pipeline.look import FRAMES, check_unchanged, look_at
from s2bnn_tf.pipeline.objects import FOLDER
from s2bnn_tf.pipeline.options import Options, check_overrides, check_same
from s2bnn_tf.pipeline.plan import Plan, make_plan, place
from s2bnn_tf.pipeline.plan_file import read_plan, save_plan
from s2bnn_tf.pipeline.results import measure
from s2bnn_tf.pipeline.words import WORDS, begin_words, finish_words
from s2bnn_tf.progress import Progress, no_progress
from s2bnn_tf.reading import Number, Object, read_json
from s2bnn_tf.runs import CheckpointStore, RunDirectory, leave_untrained
from s2bnn_tf.training import KeptTeacher, pretrain, return_memory

keras = tf.keras

_ENDED = "ended.json"  # the stages that a callback has ended, and their steps
_STAGES = Object(values=Number(low=0, whole=True))
_LEAST_ROOM = 64 * 2**20  # bytes; the smallest network writes a third of it
_EARLY = (".lock", "images.tsv", FRAMES, FOLDER, WORDS)  # may be there before the plan is


def run_fit(
    data: str | Path | Sequence[str | Path],
    output_dir: str | Path,
    options: Options,
    *,
    dry_run: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    timed: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Look, plan, train, measure and deliver; the same call resumes.

    Args:
        data: A folder, picture files, or another source as for `open_source`.
        output_dir: The directory for everything: the run directories `teacher`, `untrained`,
            `step1` and `student`, `student.tflite` with its card, `bundle.zip`, `features.npz`,
            `words.npz` if words were given, `index.npz`, `report.html`, `plan.json` and
            `results.json`; `frames` of videos.
        options: What is asked for.
        dry_run: Whether to stop after the plan, which is not kept then.
        callbacks: Callbacks of Keras for every stage; see `pretrain`.
        timed: Whether to time steps for the plan; without, `options.overrides` says `steps=N`.
        progress: Called with lines for the user.

    Returns:
        `knn`, `linear`, `neighbors_kept` and `rank` as from `measure`; `paths` of `run`, `model`,
        `report` and `features`, and of `bundle` and `index`, each empty where it could not be made;
        `minutes`; and the `plan` in lines.

    Raises:
        ConfigError: If an option is not possible, or not that of the fit in the directory.
        DataError: If the pictures are too few, or not those of the fit in the directory.
        TrainingStopped: After Ctrl-C, when everything is saved.
        UserError: If a teacher cannot be used or the file fails verification.
    """
    started, report, output = time.monotonic(), progress or no_progress, Path(output_dir)
    check_output_dir(output)
    with DirectoryLock(output, "fit"):
        plan = read_plan(output / "plan.json")
        early = [path for name in ("images.tsv", WORDS) if not (path := output / name).exists()]
        if plan is None:
            try:
                plan = _plan(data, output, options, started, report, timed)
            except BaseException:
                _remove(early)
                raise
        else:
            check_same(plan.options, options, output)
            plan.config("student")  # names the plugins that the source may need
            check_unchanged(data, plan.look, output)
        for line in plan.lines():
            report(f"  {line}")
        if dry_run:
            _remove(early)
            return {"plan": plan.lines()}
        save_plan(plan, output / "plan.json")
        _train(plan, output, callbacks, report)
        paths, results = _finish(plan, output, report)
    minutes = (time.monotonic() - started) / 60
    done = {**results, "paths": paths, "minutes": round(minutes, 2), "plan": plan.lines()}
    write_json(output / "fit.json", done)
    return done


def check_output_dir(output: Path) -> None:
    """Refuse a directory that cannot hold a fit.

    Raises:
        ConfigError: If it is a file or below one, or the directory of a single run, or holds
            files of others.
    """
    for path in (output, *output.parents):
        if path.is_file():
            raise ConfigError(f"{path} is a file; choose another --output-dir.")
    if (output / "config.yaml").exists():
        raise ConfigError(f"{output} is the directory of a single run; choose another.")
    if not output.is_dir() or (output / "plan.json").exists():
        return
    others = [path.name for path in output.iterdir() if path.name not in _EARLY]
    if others:
        raise ConfigError(
            f"{output} holds other files ({', '.join(sorted(others)[:3])}); choose another "
            "--output-dir."
        )


def _remove(early: Sequence[Path]) -> None:
    """Remove what planning has written and nobody had before, such as a file of words."""
    for path in early:
        path.unlink(missing_ok=True)


def _check_room(output: Path) -> None:
    """Refuse a disk that is nearly full, before anything is looked at.

    Raises:
        ConfigError: If it is.
    """
    there = next(path for path in (output, *output.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < _LEAST_ROOM:
        raise ConfigError(
            f"There are {free / 2**20:.0f} MiB free for {output}, and a fit, which writes "
            f"checkpoints, features and a bundle, takes {_LEAST_ROOM // 2**20} at the least; make "
            "room, or choose another --output-dir."
        )


def _plan(
    data: str | Path | Sequence[str | Path],
    output: Path,
    options: Options,
    started: float,
    report: Progress,
    timed: bool,
) -> Plan:
    check_overrides(options)
    _check_room(output)
    if options.words is not None:
        begin_words(options.words, options.teacher, output, report)
    look = look_at(data, output, share=options.share, progress=report)
    spent = time.monotonic() - started
    return place(make_plan(look, options, spent, report, timed=timed), output)


def _train(
    plan: Plan,
    output: Path,
    callbacks: Sequence[keras.callbacks.Callback],
    report: Progress,
) -> None:
    """Train every stage that is not finished."""
    left = sum(plan.minutes.values())
    words, kept = _words(plan), KeptTeacher()
    for stage in plan.recipes:
        config, run = plan.config(stage), RunDirectory(output / stage)
        if not _is_finished(run, _steps(output, stage, config.steps or 0)):
            remaining = f" (about {left:.0f} minutes left in all)" if plan.minutes else ""
            report(f"Training the {words[stage]}{remaining}")
            restore_starter(config)
            pretrain(config, run.path, callbacks=callbacks, kept=kept)
            return_memory()
            _note_end(run, output, stage, config.steps or 0)
        left -= plan.minutes.get(stage, 0)
    if not RunDirectory(output / "untrained").weights_path.is_file():
        leave_untrained(plan.config("student"), output / "untrained")


def _words(plan: Plan) -> dict[str, str]:
    """What each stage is called."""
    words = {"teacher": "teacher", "step1": "student, step 1", "student": "student, step 2"}
    if "step1" not in plan.recipes:
        words["student"] = "student"
    return {stage: words[stage] for stage in plan.recipes}


def _note_end(run: RunDirectory, output: Path, stage: str, steps: int) -> None:
    """Remember where a callback has ended a stage, so that resuming does not go on with it."""
    newest = CheckpointStore(run.checkpoints).newest()
    if newest is not None and newest.step < steps:
        write_json(output / _ENDED, {"stages": {**_ended(output), stage: newest.step}})


def _steps(output: Path, stage: str, planned: int) -> int:
    return int(_ended(output).get(stage, planned))


def _ended(output: Path) -> dict[str, Any]:
    try:
        content = read_json(output / _ENDED, {"stages": _STAGES}, cure="remove it")
    except FileNotFoundError:
        return {}
    return dict(content["stages"])


def _is_finished(run: RunDirectory, steps: int) -> bool:
    if not (run.exists() and run.weights_path.is_file()):
        return False
    try:
        newest = CheckpointStore(run.checkpoints).newest()
    except CheckpointError:
        return False
    return newest is not None and newest.step >= steps


def _finish(plan: Plan, output: Path, report: Progress) -> tuple[dict[str, str], dict[str, Any]]:
    named = plan.options.words is not None
    model = deliver.convert(output, report, head="teacher" if named else "none")
    results = measure(plan, output, report)
    words = finish_words(plan, output, report) if named else ({}, [])
    bundle = deliver.pack_bundle(plan, output, report)
    features = deliver.write_features(plan, output, report)
    index = deliver.write_index(plan, output, report)
    page = deliver.report(plan, output, results, words)
    report(deliver.headline(results))
    paths: dict[str, Path | None] = {
        "run": output / "student",
        "model": model,
        "report": page,
        "features": features,
        "bundle": bundle,
        "index": index,
    }
    if named:
        paths["words"], results = output / WORDS, {**results, "words": words[0]}
    return {name: str(path.resolve()) if path else "" for name, path in paths.items()}, results
