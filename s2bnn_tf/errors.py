"""Exceptions that mean "you can fix this", and the words for another exception's cause."""

from __future__ import annotations

import errno
import os
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

    # Raised while a graph is traced, an exception passes AutoGraph and the layers of Keras, which
    # put "in user code: ..." and the arguments of calls around its message, unless it has these.
    ag_pass_through = True
    _keras_call_info_injected = True


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


# By error number: the fault of {file}, and what to do about it.
_OS_ERRORS = {
    errno.EACCES: "{file} cannot be used without permission; change its permissions, or choose "
    "another path",
    errno.EDQUOT: "there is no space left for {file}; make room, or choose another path",
    errno.EEXIST: "{file} is in the way; move it, or choose another path",
    errno.EIO: "{file} cannot be read or written; check the disk",
    errno.EISDIR: "{file} is a directory; name a file",
    errno.EMFILE: "{file} cannot be opened because too many files are open; raise the limit with "
    "`ulimit -n 4096`",
    errno.ENAMETOOLONG: "{file} has too long a name; choose a shorter one",
    errno.ENFILE: "{file} cannot be opened because too many files are open on this machine; close "
    "some programs",
    errno.ENOENT: "{file} does not exist; check the path",
    errno.ENOMEM: "there is not enough memory for {file}; close some programs",
    errno.ENOSPC: "there is no space left for {file}; make room, or choose another path",
    errno.ENOTDIR: "{file} is below a file, not a directory; choose another path",
    errno.ENOTEMPTY: "{file} is a directory that is not empty; choose another path",
    errno.EPERM: "{file} cannot be used without permission; change its permissions, or choose "
    "another path",
    errno.EROFS: "{file} is on a file system that is read-only; choose another path",
}


def describe_os_error(error: OSError) -> str:
    """Say in one sentence what the operating system refused, for which file, and what to do.

    >>> describe_os_error(IsADirectoryError(21, "Is a directory", "runs"))
    'runs is a directory; name a file.'
    >>> describe_os_error(OSError("unexpected end"))
    'Reading or writing failed: unexpected end.'
    """
    reason = _OS_ERRORS.get(error.errno or 0)
    # A number is the descriptor of a file whose name is not known.
    name = "" if isinstance(error.filename, int) else os.fsdecode(error.filename or "")
    if reason is None:
        return f"Reading or writing {name}".rstrip() + f" failed: {error.strerror or error}."
    sentence = reason.format(file=name or "a file")
    if not name or not reason.startswith("{file}"):
        sentence = sentence[0].upper() + sentence[1:]
    return f"{sentence}."
