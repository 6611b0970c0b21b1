"""What is prepared of a teacher before training: stored targets, or a map of its output."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config, TeacherConfig
from s2bnn_tf.data import Crops, ImageSource, crop_dataset, draw_crops
from s2bnn_tf.errors import CheckpointError, file_reason
from s2bnn_tf.files import save_arrays, write_text
from s2bnn_tf.progress import Progress, show_progress
from s2bnn_tf.reading import Array, read_npz
from s2bnn_tf.runs import RunDirectory, build_augmentation
from s2bnn_tf.teachers import (
    StoredTargets,
    TargetCache,
    TargetMap,
    check_same_file,
    fill_from_teacher,
    fingerprint,
    fit_target_map,
    is_feature_file,
    load_teacher,
    targets_of_file,
    teacher_digest,
    with_map,
)
from s2bnn_tf.training.precision import precision

_RECORD = "file.sha256"  # of the file of features that a run was begun with
_MOST_FOR_MAP = 4096  # pictures
_AT_ONCE = 64  # pictures that the teacher sees
_REHEARSED = 4  # batches of the teacher that are timed
_MAP = {
    "mean": Array("f", ("outputs",)),
    "components": Array("f", ("outputs", "dimensions")),
    "made_from": Array("U", ()),
}


@dataclass(frozen=True)
class Guidance:
    """How the targets of a run come about.

    Attributes:
        stored: Targets that were computed before; then training needs no teacher.
        target_map: What happens to the output of a teacher that runs along.
        teacher: The teacher without the map, if it was loaded to find the map.
        file_sha256: The digest of the file of features that the targets come from.
    """

    stored: StoredTargets | None = None
    target_map: TargetMap | None = None
    teacher: Encoder | None = None
    file_sha256: str | None = None


@dataclass
class KeptTeacher:
    """A teacher that one run has loaded, for the next one in this process.

    Attributes:
        made_from: The digest of everything that its map depends on, its weights among them.
        network: The teacher without the map, or None.
    """

    made_from: str = ""
    network: Encoder | None = None


def prepare_guidance(
    config: Config,
    source: ImageSource,
    run: RunDirectory,
    place: RunDirectory,
    progress: Progress = show_progress,
    kept: KeptTeacher | None = None,
) -> Guidance:
    """Prepare what a recipe wants of its teacher, or find what an earlier start has prepared.

    Args:
        config: The recipe.
        source: The images to train on.
        run: The run directory; what the run of `student.init_from` has stored serves as well.
        place: The directory that this process writes to, which is `run` but for workers.
        progress: Called with what is done.
        kept: What an earlier run has left; this one leaves its own there.

    Raises:
        CheckpointError: If the teacher or its file cannot be read, or nothing can be written.
        DataError: If a file of features does not belong to the images.
    """
    teacher = config.teacher
    if teacher is None:
        return Guidance()
    if is_feature_file(teacher.weights):
        record = place.targets / _RECORD
        digest = check_same_file(str(teacher.weights), record, begun=run.exists())
        return Guidance(stored=targets_of_file(teacher, source), file_sha256=digest)
    if not (teacher.cache or teacher.is_mapped):
        return Guidance()
    made_from = _digest(config, teacher, source)
    before = config.student.init_run
    earlier = None if before is None else RunDirectory(before)
    if not teacher.cache:
        return _with_map(config, source, place, earlier, made_from, kept or KeptTeacher())
    cache = TargetCache(place.targets, made_from)
    stored = None
    if earlier is not None:
        stored = TargetCache(earlier.targets, made_from).open(quiet=True)
    stored = stored or cache.open() or _fill(cache, config, source, progress)
    return Guidance(stored=stored)


def record_guidance(guidance: Guidance, place: RunDirectory) -> None:
    """Write down which file of features a run has begun with; nothing if there is none."""
    if guidance.file_sha256 is not None:
        write_text(place.targets / _RECORD, f"{guidance.file_sha256}\n")


def rehearse_guidance(config: Config, source: ImageSource) -> tuple[Guidance, float]:
    """Prepare a teacher as `prepare_guidance` does, in a few seconds and to be timed only.

    Returns:
        What training needs, where targets to be stored are zeros and a map changes nothing; and
        the seconds that the teacher takes to store a target, 0 if it stores none.
    """
    teacher = config.teacher
    if teacher is None:
        return Guidance(), 0.0
    if is_feature_file(teacher.weights):
        return Guidance(stored=targets_of_file(teacher, source)), 0.0
    if not (teacher.cache or teacher.is_mapped):
        return Guidance(), 0.0
    network = load_own_teacher(config)
    width = network.embedding_dim
    kept = min(width, teacher.reduce_to or width)
    if not teacher.cache:
        unchanged = TargetMap(np.zeros(width, np.float32), np.eye(width, kept, dtype=np.float32))
        return Guidance(target_map=unchanged, teacher=network), 0.0
    crops = _draw(config, source, teacher.crops)
    compute, moments = tf.function(lambda views: network(views, training=False)), []
    images = max(1, _AT_ONCE // teacher.crops)
    for batch in _batches(config, source, crops, images).repeat().take(_REHEARSED):
        compute(batch)
        moments.append(time.perf_counter())
    seconds = (moments[-1] - moments[0]) / (_REHEARSED - 1) / (images * teacher.crops)
    zeros = np.broadcast_to(np.zeros((1, kept), np.float16), (len(source) * teacher.crops, kept))
    return Guidance(stored=StoredTargets(zeros, crops)), seconds


def load_own_teacher(config: Config) -> Encoder:
    """Load the teacher of a recipe in the recipe's precision."""
    assert config.teacher is not None
    data = config.data
    with precision(config):
        return load_teacher(config.teacher, image_size=data.image_size, channels=data.channels)


def _digest(config: Config, teacher: TeacherConfig, source: ImageSource) -> str:
    """A digest of everything that targets depend on."""
    data = config.data
    known = {**asdict(teacher), "weights": teacher_digest(teacher.weights)}
    beside = known.pop("beside")  # without one, the digest is that of earlier versions
    facts = {
        "teacher": known if beside is None else {**known, "beside": teacher_digest(beside)},
        "pictures": fingerprint(source),
        "view": [*data.shape, *(data.crop_scale or ()), data.flip_probability],
        "seed": config.seed,
        "precision": config.precision,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _fill(
    cache: TargetCache, config: Config, source: ImageSource, progress: Progress
) -> StoredTargets:
    teacher, data = load_own_teacher(config), config.data
    assert config.teacher is not None
    if config.teacher.is_mapped:
        teacher = with_map(teacher, _fit_map(config, teacher, source))
    crops = _draw(config, source, config.teacher.crops)
    return fill_from_teacher(
        cache,
        teacher,
        source,
        crops,
        image_size=data.image_size,
        channels=data.channels,
        progress=progress,
    )


def _with_map(
    config: Config,
    source: ImageSource,
    place: RunDirectory,
    earlier: RunDirectory | None,
    made_from: str,
    kept: KeptTeacher,
) -> Guidance:
    """Find the map of this run, or of the one that it starts from, or make a new one."""
    own = place.targets / "map.npz"
    paths = [own] if earlier is None else [own, earlier.targets / "map.npz"]
    for path in paths:
        found = _read_map(path, made_from)
        if found is not None:
            same = kept.made_from == made_from
            return Guidance(target_map=found, teacher=kept.network if same else None)
    teacher = load_own_teacher(config)
    made = _fit_map(config, teacher, source)
    arrays = {**made._asdict(), "made_from": np.array(made_from)}
    try:
        save_arrays(own, arrays)
    except OSError as error:
        raise CheckpointError(
            f"Cannot write to {own.parent}: {file_reason(error)}; choose another --output-dir."
        ) from error
    kept.made_from, kept.network = made_from, teacher
    return Guidance(target_map=made, teacher=teacher)


def _read_map(path: Path, made_from: str) -> TargetMap | None:
    try:
        arrays = read_npz(path, _MAP, cure="it is made again")
    except (FileNotFoundError, CheckpointError):
        return None
    if str(arrays["made_from"]) != made_from:
        return None
    return TargetMap(arrays["mean"], arrays["components"])


def _fit_map(config: Config, teacher: Encoder, source: ImageSource) -> TargetMap:
    """Find the map for one crop of each of up to 4,096 pictures."""
    assert config.teacher is not None
    some = np.linspace(0, len(source) - 1, min(len(source), _MOST_FOR_MAP)).astype(np.int64)
    seen = source.select(some)
    batches = _batches(config, seen, _draw(config, seen, 1), _AT_ONCE)

    @tf.function
    def compute(views: tf.Tensor) -> tf.Tensor:
        features = teacher.backbone(views, training=False)
        return features if teacher.head is None else teacher.head(features, training=False)

    outputs: NDArray[np.float32] = np.concatenate(
        [np.asarray(compute(batch), np.float32) for batch in batches]
    )
    teacher_config = config.teacher
    return fit_target_map(outputs[: len(seen)], teacher_config.reduce_to, teacher_config.normalize)


def _draw(config: Config, source: ImageSource, count: int) -> Crops:
    """Crops of every picture, as the recipe draws them."""
    data = config.data
    augmentation = build_augmentation(data)
    return draw_crops(source, augmentation, count, seed=config.seed, view=data.image_size)


def _batches(config: Config, source: ImageSource, crops: Crops, images: int) -> tf.data.Dataset:
    """Those crops of the pictures, so many pictures in a batch."""
    size, channels = config.data.image_size, config.data.channels
    return crop_dataset(source, crops, image_size=size, channels=channels, images=images)
