"""Whether a given teacher computes its targets once, before training, or along with it."""

from __future__ import annotations

import math

from s2bnn_tf.config import Config, TeacherConfig
from s2bnn_tf.data import open_source
from s2bnn_tf.pipeline.look import Look
from s2bnn_tf.teachers import (
    is_feature_file,
    load_teacher,
    match_features,
    read_features,
    width_of_file,
)
from s2bnn_tf.training import Cost

_SHARE = 0.15  # of the time, for storing
_FEWEST, _MOST = 4, 32  # crops of a picture
DIMENSIONS = 128  # principal components of a given teacher's features
_STORED = "teacher.cache=true"


def centered(given: tuple[str, ...]) -> tuple[str, ...]:
    """The change that centers a given teacher's features, unless the user decides about that.

    Features of a network that ends in a rectifier share a large mean, on which a student would
    spend its effort; see docs/stored_features.md.
    """
    if any(change.startswith(("teacher.center=", "teacher.reduce_to=")) for change in given):
        return ()
    return (f"teacher.reduce_to={DIMENSIONS}",)


def target_width(config: Config) -> int:
    """The dimension of the targets of a given teacher.

    Raises:
        UserError: If it cannot be used.
    """
    teacher, data = config.teacher or TeacherConfig(), config.data
    if is_feature_file(teacher.weights):
        return width_of_file(teacher)
    network = load_teacher(teacher, image_size=data.image_size, channels=data.channels)
    return min(network.embedding_dim, teacher.reduce_to or network.embedding_dim)


def check_features(teacher: str | None, look: Look) -> None:
    """Refuse a file of features that lacks some of the pictures, before anything is trained.

    Those that are held out count, too: the student is compared with the teacher on them.

    Raises:
        CheckpointError: If the file cannot be read.
        DataError: If it lacks some; it names one.
    """
    if teacher is None or not is_feature_file(teacher):
        return
    rows = read_features(teacher, "features")
    for split in ("train", "test")[: 2 if look.test else 1]:
        match_features(rows, open_source(look.source, split))


def may_store(teacher: str | None, given: tuple[str, ...]) -> bool:
    """Whether it is ours to decide that a teacher stores its targets: it is given, and a network.

    A function of the calling program may give other features at every call.
    """
    network = teacher is not None and not is_feature_file(teacher)
    chosen = any(change.startswith(("teacher.cache=", "teacher.crops=")) for change in given)
    return network and not chosen and not (teacher or "").startswith("python:")


def rehearsal(changes: tuple[str, ...]) -> tuple[str, ...]:
    """The changes of a recipe whose targets are stored, to be timed."""
    return (*changes, _STORED, f"teacher.crops={_FEWEST}")


def store_targets(
    recipes: dict[str, tuple[str, ...]],
    costs: dict[str, Cost],
    config: Config,
    pictures: int,
    seconds: float,
    *,
    stores: bool,
) -> tuple[dict[str, tuple[str, ...]], dict[str, Cost], float]:
    """Decide whether the teacher stores its targets, which both steps of the student use.

    Args:
        recipes: The changes to the recipe of each stage.
        costs: Of each stage; where it `stores`, with stored targets.
        config: The recipe of the student.
        pictures: The number of pictures.
        seconds: The time for training, storing included.
        stores: Whether that is ours to decide.

    Returns:
        The recipes, the costs, and the seconds that storing takes.
    """
    cost, batch, teacher = costs["student"], config.data.batch_size, config.teacher
    crops = teacher.crops if teacher is not None and teacher.cache else 0
    if stores:
        crops = choose_crops(cost, batch, pictures, seconds)
        changes = (_STORED, f"teacher.crops={crops}") if crops else ()
        recipes = {stage: (*recipe, *changes) for stage, recipe in recipes.items()}
        if not crops:  # the teacher runs along
            cost = cost._replace(seconds=cost.seconds + batch * cost.crop_seconds)
            costs = {**costs, "step1": cost, "student": cost}
    return recipes, costs, crops * pictures * cost.crop_seconds


def choose_crops(cost: Cost, batch: int, pictures: int, seconds: float) -> int:
    """The crops of each picture that are stored; 0 if the teacher is as small as the student.

    Args:
        cost: Of a step with stored targets, and of storing one.
        batch: The pictures in a step.
        pictures: The number of pictures.
        seconds: The time for training, storing included.

    Returns:
        As many as a small share of the time allows, a power of two.
    """
    crops = _SHARE * seconds / max(cost.crop_seconds * pictures, 1e-9)
    if cost.crop_seconds * batch < cost.seconds or crops < _FEWEST:
        return 0
    return int(min(_MOST, 2 ** int(math.log2(crops))))
