"""`s2bnn eval calibration`, the paper's analysis: is the student's distribution the teacher's?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_tf.config import Config, ObjectiveConfig, TeacherConfig
from s2bnn_tf.data import (
    Augmentation,
    ImageSource,
    channel_statistics,
    open_source,
    view_dataset,
)
from s2bnn_tf.errors import ModelError
from s2bnn_tf.evaluation.arrays import FloatArray
from s2bnn_tf.evaluation.calibration import (
    coordinate_distribution,
    entropy,
    kl_divergence,
    rank_agreement,
    reliability,
)
from s2bnn_tf.evaluation.evaluate_linear import own_logits
from s2bnn_tf.evaluation.session import Session
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import LinearProbe, RunDirectory, build_augmentation
from s2bnn_tf.teachers import load_teacher

VIEWS = 2048
BATCH = 128
ENTROPY_BINS = 30
# For a model without a recipe: nearly whole images, in their own colors.
NEARLY_WHOLE = Augmentation((0.9, 1.0), 0.0, 0.0, 0.0, 0.5)


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
    draw: Callable[[dict[str, Any], Path], None] | None = None,
) -> dict[str, Any]:
    """Compare the distributions of student and teacher on the same views of test images.

    Writes calibration.json. Results that need a teacher are left out if there is none; those
    that need a classifier (reliability, expected calibration error) are left out if
    `s2bnn eval linear` was not run.

    Args:
        path: A run directory, or a `.tflite` converted with a projection or linear head.
        data: The images, as for `open_source`; defaults to those it was trained on.
        teacher: A run directory or a `.keras` file; defaults to the teacher of the run's recipe.
        temperature: The temperature of both distributions; defaults to those of the recipe,
            which may have another one for the teacher (`objective.teacher_temperature`).
        views: The largest number of views: one of each test image, drawn as in training.
        seed: The seed that the views are drawn with.
        runtime: What runs a `.tflite`, as for `open_model`.
        progress: Called after each batch.
        draw: Called with the result and the directory it was written to, to add pictures;
            `s2bnn_tf.report.draw_calibration` draws those of the command line.

    Returns:
        The content of calibration.json: "student" (and "teacher") with "entropy_mean",
        "mean_sorted_distribution" and "entropy_histogram", "kl_mean" (teacher || student),
        "rank_agreement_mean", "same_largest_coordinate", "reliability", and every parameter.

    Raises:
        ModelError: If the model has neither an embedding nor a classifier, or if the teacher's
            embedding has another size.
        UserError: If the model, its images or the teacher cannot be opened.
    """
    session = Session(path, data, progress=progress, runtime=runtime)
    result: dict[str, Any] = {}
    if session.encoder.head in (None, "projection", "teacher", "teacher+map"):
        result = _compare(session, teacher, temperature, views, seed)
    classifier = _reliability(session)
    if classifier is not None:
        result["reliability"] = classifier
    if not result:
        raise ModelError(
            f"{path} has neither an embedding nor a classifier to look at; convert the run with "
            "--head projection or linear."
        )
    written = session.write("calibration", result)
    if draw is not None:
        draw(written, session.directory)
    return written


def _compare(
    session: Session,
    teacher: Path | str | None,
    temperature: float | None,
    views: int,
    seed: int,
) -> dict[str, Any]:
    """Describe the distributions of the student and, if there is one, of its teacher."""
    run = RunDirectory(session.path)
    config = run.config if run.exists() else None
    temperature, teacher_temperature = _temperatures(config, temperature)
    guide = _teacher_of(config, teacher)
    network = None
    if guide.weights:
        encoder = session.encoder
        network = load_teacher(guide, image_size=encoder.image_size, channels=encoder.channels)
    images = _views(session, config, views, seed)
    student = np.concatenate([session.encoder.embed(_to_bytes(batch)) for batch in images])
    p_student = coordinate_distribution(student, temperature)
    result: dict[str, Any] = {
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
        if config is not None and config.teacher is not None and config.teacher.is_mapped:
            raise ModelError(
                "The student was trained towards its teacher's features reduced to "
                f"{student.shape[1]} of {target.shape[1]} dimensions, so the two distributions "
                "cannot be compared; train it with teacher.reduce_to=null to compare them."
            )
        raise ModelError(
            f"The teacher's embedding has {target.shape[1]} dimensions and the student's "
            f"{student.shape[1]}; name the teacher it was trained with by --teacher."
        )
    p_teacher = coordinate_distribution(target, teacher_temperature)
    lowest = float(min(entropy(p).min() for p in (p_teacher, p_student)))
    same = p_teacher.argmax(axis=1) == p_student.argmax(axis=1)
    return result | {
        "teacher_weights": guide.weights,
        "teacher_temperature": teacher_temperature,
        "teacher": _describe(p_teacher, lowest),
        "student": _describe(p_student, lowest),
        "kl_mean": float(kl_divergence(p_teacher, p_student).mean()),
        "kl_of_uniform_mean": float((np.log(student.shape[1]) - entropy(p_teacher)).mean()),
        "rank_agreement_mean": float(np.nanmean(rank_agreement(target, student))),
        "same_largest_coordinate": float(same.mean()),
        "cosine_mean": float(np.sum(target * student, axis=1).mean()),
    }


def _teacher_of(config: Config | None, named: Path | str | None) -> TeacherConfig:
    """Return the teacher that is named, or else the recipe's; its weights are None without one."""
    known = (config and config.teacher) or TeacherConfig()
    return TeacherConfig(weights=str(named), output=known.output) if named else known


def _temperatures(config: Config | None, given: float | None) -> tuple[float, float]:
    """Return the temperatures of student and teacher that the run was trained with."""
    if given is not None:
        return given, given
    objective = config.objective if config else ObjectiveConfig()
    return objective.temperature, objective.teacher_temperature or objective.temperature


def _describe(distribution: FloatArray, lowest: float | None = None) -> dict[str, Any]:
    """Describe a distribution (N, D) in numbers that can be drawn.

    Args:
        distribution: Rows that sum to 1.
        lowest: The entropy that the histogram begins at; defaults to the smallest one.
    """
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


def _views(session: Session, config: Config | None, views: int, seed: int) -> list[FloatArray]:
    """Draw normalized views (B, H, W, C) as the run drew them, or nearly whole images."""
    source: ImageSource = open_source(session.data, "test")
    batch = min(BATCH, len(source), views)
    dataset = view_dataset(
        source,
        build_augmentation(config.data) if config else NEARLY_WHOLE,
        image_size=session.encoder.image_size,
        batch_size=batch,
        views=1,
        seed=seed,
        channels=session.encoder.channels,
    )
    batches = min(views, len(source)) // batch
    drawn = []
    for (view,) in dataset.take(batches).as_numpy_iterator():
        drawn.append(view)
        if session.progress is not None:
            session.progress(f"{session.encoder.name}: views", len(drawn), batches)
    return drawn


def _to_bytes(views: FloatArray) -> FloatArray:
    """Turn normalized views back into 0-255, which encoders take."""
    mean, std = (np.array(part, views.dtype) for part in channel_statistics(views.shape[-1]))
    values: FloatArray = 255 * (views * std + mean)
    return values


def _reliability(session: Session) -> dict[str, Any] | None:
    """Return the reliability of the model's classifier, or of the linear probe that was fitted."""
    if session.encoder.head == "linear":
        return reliability(*own_logits(session))
    file = session.directory / "linear_probe.npz"
    if not file.exists():
        return None
    features, labels = session.extract(session.test)
    return reliability(LinearProbe.load(file).logits(features), labels)
