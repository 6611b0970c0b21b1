"""The paper's analysis: does the student's distribution look like the teacher's?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from s2bnn_tf.config import Config, ObjectiveConfig, TeacherConfig
from s2bnn_tf.data import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Augmentation,
    ImageSource,
    open_source,
    view_dataset,
)
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation.calibration import (
    coordinate_distribution,
    entropy,
    kl_divergence,
    rank_agreement,
    reliability,
)
from s2bnn_tf.evaluation.evaluate import own_logits
from s2bnn_tf.evaluation.features import Progress
from s2bnn_tf.evaluation.session import Session
from s2bnn_tf.runs import LinearProbe, RunDirectory
from s2bnn_tf.teachers import load_teacher

VIEWS = 2048
BATCH = 128
ENTROPY_BINS = 30


def evaluate_calibration(
    path: Path | str,
    data: str | None = None,
    *,
    teacher: Path | str | None = None,
    temperature: float | None = None,
    views: int = VIEWS,
    seed: int = 0,
    runtime: str | None = None,
    progress: Progress | None = None,
    draw: Callable[[dict, Path], None] | None = None,
) -> dict:
    """Compare the distributions of student and teacher on the same views of test images.

    Writes calibration.json. What needs a teacher is
    left out where there is none; what needs a classifier (reliability, expected
    calibration error), where `s2bnn eval linear` was not run.

    Args:
        path: a run directory, or a `.tflite` converted with a projection or linear head.
        data: the images, as for `open_source`; by default those it was trained on.
        teacher: a run directory or `.keras` file; by default the teacher of the run's recipe.
        temperature: T of both distributions; by default those of the recipe, which may have
            another one for the teacher (`objective.teacher_temperature`).
        views: how many, at most: one of each test image, drawn as in the training.
        seed: of the views.
        runtime: what runs a `.tflite`, as for `open_encoder`.
        progress: told after each batch.
        draw: Called with the result and the directory it was written to, to add pictures;
            `s2bnn_tf.report.draw_calibration` draws those of the command line.

    Returns:
        What calibration.json holds: "student" (and "teacher") with "entropy_mean",
        "mean_sorted_distribution" and "entropy_histogram", "kl_mean" (teacher || student),
        "rank_agreement_mean", "same_largest_coordinate", "reliability", and every parameter.

    Raises:
        UserError: if something cannot be opened or there is nothing to compare.
    """
    session = Session(path, data, progress=progress, runtime=runtime)
    result: dict = {}
    if session.encoder.head in (None, "projection"):
        result = _compare(session, teacher, temperature, views, seed)
    classifier = _reliability(session)
    if classifier is not None:
        result["reliability"] = classifier
    if not result:
        raise UserError(
            f"{path} has neither an embedding nor a classifier to look at: convert the run with "
            "--head projection or linear."
        )
    written = session.write("calibration", result)
    if draw is not None:
        draw(written, session.directory)
    return written


def _compare(session: Session, teacher, temperature, views: int, seed: int) -> dict:
    """The distributions over coordinates, of the student and, where there is one, its teacher."""
    run = RunDirectory(session.path)
    config = run.config if run.exists() else None
    temperature, teacher_temperature = _temperatures(config, temperature)
    known = (config and config.teacher) or TeacherConfig()
    if teacher:
        known = TeacherConfig(weights=str(teacher), output=known.output)
    size = session.encoder.image_size
    network = load_teacher(known, image_size=size) if known.weights else None
    images = _views(session, config, views, seed)
    student = np.concatenate([session.encoder.embed(_to_rgb(batch)) for batch in images])
    p_student = coordinate_distribution(student, temperature)
    result = {
        "temperature": temperature,
        "views": len(student),
        "seed": seed,
        "dimensions": student.shape[1],
        "uniform_entropy": float(np.log(student.shape[1])),
        "student": _describe(p_student),
    }
    if network is None:
        return result
    target = np.concatenate([network(batch, training=False).numpy() for batch in images])
    if target.shape != student.shape:
        raise UserError(
            f"The teacher's embedding has {target.shape[1]} dimensions and the student's "
            f"{student.shape[1]}: name the teacher it was trained with by --teacher."
        )
    p_teacher = coordinate_distribution(target, teacher_temperature)
    lowest = float(min(entropy(p).min() for p in (p_teacher, p_student)))
    same = p_teacher.argmax(axis=1) == p_student.argmax(axis=1)
    return result | {
        "teacher_weights": known.weights,
        "teacher_temperature": teacher_temperature,
        "teacher": _describe(p_teacher, lowest),
        "student": _describe(p_student, lowest),
        "kl_mean": float(kl_divergence(p_teacher, p_student).mean()),
        "kl_of_uniform_mean": float((np.log(student.shape[1]) - entropy(p_teacher)).mean()),
        "rank_agreement_mean": float(np.nanmean(rank_agreement(target, student))),
        "same_largest_coordinate": float(same.mean()),
        "cosine_mean": float(np.sum(target * student, axis=1).mean()),
    }


def _temperatures(config: Config | None, given: float | None) -> tuple[float, float]:
    """T of the student's and of the teacher's distribution, as the run was trained with."""
    if given is not None:
        return given, given
    objective = config.objective if config else ObjectiveConfig()
    return objective.temperature, objective.teacher_temperature or objective.temperature


def _describe(distribution: np.ndarray, lowest: float | None = None) -> dict:
    """A distribution (N, D) in numbers that can be drawn; `lowest`: where the histogram begins."""
    entropies = entropy(distribution)
    limit = float(np.log(distribution.shape[1]))
    lowest = float(entropies.min()) if lowest is None else lowest
    counts, _ = np.histogram(entropies, bins=ENTROPY_BINS, range=(lowest - 1e-9, limit + 1e-9))
    return {
        "entropy_mean": float(entropies.mean()),
        "entropy_std": float(entropies.std()),
        "largest_probability_mean": float(distribution.max(axis=1).mean()),
        "mean_sorted_distribution": np.sort(distribution, axis=1)[:, ::-1].mean(axis=0).tolist(),
        "entropy_histogram": {"from": lowest, "to": limit, "counts": counts.tolist()},
    }


def _views(session: Session, config, views: int, seed: int) -> list[np.ndarray]:
    """Normalized views (B, S, S, 3), drawn as the run drew them, or nearly whole images."""
    source: ImageSource = open_source(session.data, "test")
    names = Augmentation.__dataclass_fields__
    still = Augmentation((0.9, 1.0), 0.0, 0.0, 0.0, 0.5)
    augmentation = Augmentation(**{n: getattr(config.data, n) for n in names}) if config else still
    batch = min(BATCH, len(source), views)
    dataset = view_dataset(
        source,
        augmentation,
        image_size=session.encoder.image_size,
        batch_size=batch,
        views=1,
        seed=seed,
    )
    batches = min(views, len(source)) // batch
    drawn = []
    for (view,) in dataset.take(batches).as_numpy_iterator():
        drawn.append(view)
        if session.progress is not None:
            session.progress(f"{session.encoder.name}: views", len(drawn), batches)
    return drawn


def _to_rgb(views: np.ndarray) -> np.ndarray:
    """Undo `normalize`: views to RGB 0-255, as encoders take them."""
    return 255 * (
        views * np.array(IMAGENET_STD, views.dtype) + np.array(IMAGENET_MEAN, views.dtype)
    )


def _reliability(session: Session) -> dict | None:
    """Of the model's own classifier, or of the linear probe that was fitted to its features."""
    if session.encoder.head == "linear":
        return reliability(*own_logits(session))
    file = session.directory / "linear_probe.npz"
    if not file.exists():
        return None
    features, labels = session.extract(session.test)
    return reliability(LinearProbe.load(file).logits(features), labels)
