"""Exceptions that mean "you can fix this", and the words for another exception's cause."""

from __future__ import annotations

import re


class UserError(ValueError):
    """A mistake that the user can mend; its message is one sentence that says how.

    The command line prints the sentence and exits with status 1. Any other exception is a fault
    of the program and keeps its traceback. Programs catch this class, or one of its children:

    - `ConfigError`: a recipe, an option or a value in it.
    - `DataError`: images, folders and packs.
    - `CheckpointError`: run directories, checkpoints, weights and results in them.
    - `ModelError`: networks that do not fit, `.tflite` files, conversion.
    - `DeviceError`: runtimes, bundles and devices.
    """


class ConfigError(UserError):
    """A recipe, or an option, that is not understood or not possible."""


class DataError(UserError):
    """Images that cannot be found, read or used."""


class CheckpointError(UserError):
    """A run directory, or a file in one, that is missing, damaged or of another kind."""


class ModelError(UserError):
    """A network or a `.tflite` that does not fit or cannot be converted."""


class ParityError(ModelError):
    """A converted file does not compute what the network computes."""


class DeviceError(UserError):
    """A runtime, a bundle or a device that cannot be used."""


def file_reason(error: Exception) -> str:
    """Why a file could not be written, in the operating system's words.

    >>> file_reason(OSError(28, "No space left on device"))
    'No space left on device'

    Args:
        error: An OSError, or TensorFlow's, whose text has names of its own around these words.
    """
    if getattr(error, "strerror", None):
        return str(error.strerror)  # type: ignore[attr-defined]
    line = str(error).strip().splitlines()[0]
    return re.sub(r" \[Op:\w+\]$", "", line.rsplit("; ", 1)[-1])
