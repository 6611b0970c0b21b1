"""The changes that a resumed run allows, and those that it does not."""

from __future__ import annotations

import sys
from typing import Any

from s2bnn_tf.config import Config, to_dict
from s2bnn_tf.errors import CheckpointError, ConfigError, DataError
from s2bnn_tf.runs import RunDirectory, identity_of

# These change nothing that is learned.
_FREE = {"distribution", "deterministic", "loggers", "monitor", "plugins"}
# These change what is learned from here on. Everything else fixes the state that was saved, or
# the order of the images. `data.source` may name another copy of the same images.
_MAY_CHANGE = {
    "epochs",
    "steps",
    "data.source",
    "optimizer.accumulation_steps",
    "optimizer.learning_rate",
    "optimizer.schedule",
    "optimizer.warmup_epochs",
    "optimizer.weight_decay",
}


def check_resumable(run: RunDirectory, config: Config, *, resume: bool) -> None:
    """Compare a recipe with the recipe of the run that is about to be resumed.

    Changes that are allowed are reported on standard error.

    Args:
        run: The run directory; nothing is checked if it holds no run yet.
        config: The recipe.
        resume: Whether an existing run may be resumed.

    Raises:
        CheckpointError: If the directory holds an imported run, or any run and `resume` is False.
        ConfigError: If a key differs that must not change.
    """
    if not run.exists():
        return
    if run.imported_path.is_file():
        raise CheckpointError(
            f"{run.path} was imported, not trained here; choose another --output-dir and start "
            f"from the imported weights with --set student.init_from={run.path}."
        )
    if not resume:
        raise CheckpointError(f"{run.path} already holds a run; choose another --output-dir.")
    changes = {
        key: change
        for key, change in _differences(_comparable(run.config), _comparable(config)).items()
        if key.split(".")[0] not in _FREE
    }
    refused = [f"{key}: {change}" for key, change in changes.items() if key not in _MAY_CHANGE]
    if refused:
        raise ConfigError(
            f"{run.path} holds a run that cannot be resumed with another recipe "
            f"({'; '.join(refused)}); undo that, or choose another --output-dir."
        )
    if changes:
        listed = "; ".join(f"{key}: {change}" for key, change in changes.items())
        print(f"Resuming with a changed recipe: {listed}.", file=sys.stderr)


def check_same_images(run: RunDirectory, facts: dict[str, Any], images: int) -> None:
    """Refuse a source whose images were added to or removed: the saved position would be wrong.

    Args:
        run: The run directory.
        facts: The facts that were stored with the checkpoint.
        images: The number of images that the source has now.

    Raises:
        DataError: If the source had another number of images when the checkpoint was saved.
    """
    before = facts.get("images", images)
    if before != images:
        raise DataError(
            f"{run.path} was trained on {before} images and data.source has {images} now; "
            "put the images back as they were, or choose another --output-dir."
        )


def _comparable(config: Config) -> dict[str, Any]:
    """A recipe whose student, if it is a file, is named by its content."""
    tree = to_dict(config)
    tree["student"]["backbone"] = identity_of(config.student.backbone)
    return tree


def _differences(before: Any, now: Any, path: str = "") -> dict[str, str]:
    """Return the dotted keys whose values differ, with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        found: dict[str, str] = {}
        for key in before | now:
            found |= _differences(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
        return found
    return {} if before == now else {path: f"{before}, now {now}"}
