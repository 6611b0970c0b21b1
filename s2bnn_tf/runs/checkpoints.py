"""Checkpoints on disk: written completely, checked when read, kept by number and by age."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.files import flush, sha256, write_json
from s2bnn_tf.reading import Field, Number, Object, Text, read_json

log = logging.getLogger(__name__)

# The names that a checkpoint's files have; nothing else is ever read or removed.
_OURS = re.compile(
    r"step-(?P<step>\d+)(?:\.index|\.json|\.data-\d{5}-of-\d{5}(?:\.tempstate\d+)?"
    r"|(?P<temporary>_temp))"
)
_PART = re.compile(r"part-\d{5}-of-\d{5}\.(?:index|data-\d{5}-of-\d{5})(?:\.tempstate\d+)?")
_MANIFEST: dict[str, Field] = {
    "step": Number(low=0, whole=True),
    "saved": Number(),
    "sha256": Object(values=Text()),
    "facts": Object(),
}


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint that was found complete.

    Attributes:
        step: The number of training steps that were done when it was saved.
        prefix: The path that `tf.train.Checkpoint.read` takes.
        facts: The facts that `save` was given with it.
    """

    step: int
    prefix: str
    facts: dict[str, Any]


class CheckpointStore:
    """The checkpoints of a run, by step.

    A checkpoint consists of `step-N.index` and `step-N.data-*`, as TensorFlow writes them, and
    a manifest `step-N.json` with the SHA-256 of both. The manifest is written last and removed
    first. Files without a manifest, or that do not match it, do not count, so a kill or a power
    cut at any moment leaves the earlier checkpoints intact.

    Args:
        folder: The folder of the checkpoints; it must exist before the first `save`.
        keep: How many of the newest checkpoints to keep.
        keep_hours: Keep one older checkpoint for each period of this many hours; 0 keeps none.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2, keep_hours: float = 0.0):
        self.folder = Path(folder)
        self.keep = keep
        self.keep_hours = keep_hours

    def steps(self) -> list[int]:
        """The steps of all checkpoints that have a manifest, in ascending order."""
        names = (path.stem.removeprefix("step-") for path in self.folder.glob("step-*.json"))
        return sorted(int(name) for name in names if name.isdigit())

    def save(
        self, checkpoint: tf.train.Checkpoint, step: int, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Write a checkpoint and remove those that are no longer kept.

        An intact checkpoint of this step is left as it is, since its content is the same.

        Args:
            checkpoint: The objects to save.
            step: The number of training steps done.
            facts: Anything else to keep with it, ready for JSON.

        Raises:
            OSError, tf.errors.OpError: If it cannot be written; the other checkpoints remain.
        """
        if self._read(step) is not None:
            return
        self._forget(step)
        checkpoint.write(str(self.folder / f"step-{step}"))
        files = self._files(step)
        for path in files:
            flush(path)
        manifest = {
            "step": step,
            "saved": time.time(),
            "sha256": {path.name: sha256(path) for path in files},
            "facts": dict(facts or {}),
        }
        write_json(self._manifest(step), manifest)
        for old in self._surplus():
            self._forget(old)

    def newest(self) -> SavedCheckpoint | None:
        """Find the newest intact checkpoint, with a warning for each damaged one it skips.

        Returns:
            The checkpoint, or None if there are none.

        Raises:
            CheckpointError: If there are checkpoints and all of them are damaged.
        """
        steps = self.steps()
        for step in reversed(steps):
            manifest = self._read(step)
            if manifest is not None:
                return SavedCheckpoint(step, str(self.folder / f"step-{step}"), manifest["facts"])
            log.warning(
                "The checkpoint of step %d in %s is damaged; the one before it is used.",
                step,
                self.folder,
            )
        if steps:
            raise CheckpointError(
                f"Every checkpoint in {self.folder} is damaged; put back a copy of one, "
                "or choose another --output-dir."
            )
        return None

    def clean(self) -> None:
        """Remove the files of checkpoints that a kill left unfinished."""
        finished = set(self.steps())
        for path in self.folder.glob("step-*"):
            ours = _OURS.fullmatch(path.name)
            if path.is_symlink() or ours is None or int(ours["step"]) in finished:
                continue
            if path.is_file():
                path.unlink()
            elif ours["temporary"]:
                _remove_temporary(path)

    def _manifest(self, step: int) -> Path:
        return self.folder / f"step-{step}.json"

    def _files(self, step: int) -> list[Path]:
        files = (p for p in self.folder.glob(f"step-{step}.*") if p != self._manifest(step))
        return [p for p in files if _OURS.fullmatch(p.name) and not p.is_symlink()]

    def _read(self, step: int) -> dict[str, Any] | None:
        """Read the manifest of a checkpoint; None if any of its files is not as it was written."""
        try:
            manifest = read_json(self._manifest(step), _MANIFEST, cure="train again")
            files = {path.name: path for path in self._files(step)}
            for name, digest in manifest["sha256"].items():
                if name not in files or sha256(files[name]) != digest:
                    return None
            return manifest if manifest["sha256"] and manifest["step"] == step else None
        except (OSError, CheckpointError):
            return None

    def _forget(self, step: int) -> None:
        self._manifest(step).unlink(missing_ok=True)
        for path in self._files(step):
            path.unlink()

    def _surplus(self) -> list[int]:
        steps = self.steps()
        old, surplus, last_kept = steps[: -self.keep], [], -float("inf")
        for step in old:
            manifest = self._read(step) if self.keep_hours else None
            if manifest and manifest["saved"] - last_kept >= 3600 * self.keep_hours:
                last_kept = manifest["saved"]
            else:
                surplus.append(step)
        return surplus


def _remove_temporary(folder: Path) -> None:
    """Remove the folder in which TensorFlow writes the parts of a checkpoint, and nothing else."""
    for path in folder.iterdir():
        if _PART.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
