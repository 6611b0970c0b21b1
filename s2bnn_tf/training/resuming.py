"""What may differ between a run and its resumption, and what may not."""

from __future__ import annotations

import sys
from typing import Any

from s2bnn_tf.config import Config, to_dict
from s2bnn_tf.errors import UserError
from s2bnn_tf.runs import RunDirectory

# These change nothing that is learned ...
_FREE = {"distribution", "deterministic", "monitor"}
# ... these change what is learned from here on; everything else fixes the state that was saved,
# or the order of the images. `data.source` may name another place of the same images.
_MAY_CHANGE = {
    "epochs",
    "data.source",
    "optimizer.accumulation_steps",
    "optimizer.learning_rate",
    "optimizer.schedule",
    "optimizer.warmup_epochs",
    "optimizer.weight_decay",
}


def check_resumable(run: RunDirectory, config: Config, *, resume: bool) -> None:
    """Compare a recipe with the one of the run that is to be continued.

    Tells on standard error what differs and is allowed.

    Raises:
        UserError: if there is a run and `resume` is False, or if something differs that cannot.
    """
    if not run.exists():
        return
    if run.imported_path.is_file():
        raise UserError(
            f"{run.path} was imported, not trained here: choose another --output-dir, and start "
            f"from it by --set student.init_from={run.path}."
        )
    if not resume:
        raise UserError(f"{run.path} already holds a run; choose another --output-dir.")
    changes = {
        key: change
        for key, change in _differences(to_dict(run.config), to_dict(config)).items()
        if key.split(".")[0] not in _FREE
    }
    refused = [f"{key}: {change}" for key, change in changes.items() if key not in _MAY_CHANGE]
    if refused:
        raise UserError(
            f"{run.path} holds a run that cannot go on with another recipe "
            f"({'; '.join(refused)}); undo that, or choose another --output-dir."
        )
    if changes:
        told = "; ".join(f"{key}: {change}" for key, change in changes.items())
        print(f"Going on with a changed recipe: {told}.", file=sys.stderr)


def check_same_images(run: RunDirectory, facts: dict[str, Any], images: int) -> None:
    """Refuse images that were added or removed: the position in the data would mean nothing.

    Raises:
        UserError: if there were another number of images when the checkpoint was saved.
    """
    before = facts.get("images", images)
    if before != images:
        raise UserError(
            f"{run.path} was trained on {before} images and data.source has {images} now; "
            "put the images back as they were, or choose another --output-dir."
        )


def _differences(before: Any, now: Any, path: str = "") -> dict[str, str]:
    """Dotted keys whose values differ, with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        found: dict[str, str] = {}
        for key in before | now:
            found |= _differences(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
        return found
    return {} if before == now else {path: f"{before}, now {now}"}
