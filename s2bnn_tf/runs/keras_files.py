"""A `.keras` file, read so that it runs no code and takes no more memory than its weights."""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from s2bnn_tf.environment import keras_module
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.reading import ARRAY_LIMIT, check_member, open_regular, parse_json
from s2bnn_tf.runs.keras_configs import check_config, without_compilation
from s2bnn_tf.runs.weights_files import count_weights

keras = tf.keras
LayerScale = keras_module("src.applications.convnext").LayerScale
ObjectSharingScope = keras_module("src.saving.serialization_lib").ObjectSharingScope

# Of the versions of Keras whose files are read: the one that runs here.
_NEWEST = [int(number) for number in keras_module("src").__version__.split(".")[:2]]
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_CONFIG_LIMIT = 16 * 2**20  # bytes; the largest network of keras.applications has 1
_LAYERS_OF_APPLICATIONS = {"LayerScale": LayerScale}  # Keras does not find it by itself
_LONGEST_REASON = 400  # characters
_FREELY_BUILT = 2**20  # numbers that a network may have beyond its weights, such as seeds


def read_keras_file(path: Path, key: str) -> keras.Model:
    """Read the model in a `.keras` file.

    Keras never opens the file itself, since it takes other formats under this name too, and some
    of them run code. It gets the configuration after it was checked, and a copy of the weights.

    Args:
        path: A zip file that `model.save("x.keras")` of Keras 2 has written.
        key: The key of the recipe that names it, for messages.

    Returns:
        The model, which is not compiled.

    Raises:
        CheckpointError: If the file is missing, damaged, of Keras 3, or names anything but layers
            and arithmetic.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return _read(archive)
    except zipfile.BadZipFile as error:
        reason = "it is not a zip file, as .keras files are; save the model with model.save"
        raise CheckpointError(f"{key}: cannot load {path}: {reason}.") from error
    except Exception as error:  # Keras and HDF5 raise nearly anything for a damaged file
        raise CheckpointError(f"{key}: cannot load {path} safely: {_reason(error)}.") from error


def _read(archive: zipfile.ZipFile) -> keras.Model:
    missing = {_CONFIG, _METADATA, _WEIGHTS} - set(archive.namelist())
    if missing:
        raise ValueError(f"it has no {min(missing)}")
    _check_version(_read_json(archive, _METADATA).get("keras_version"))
    config = without_compilation(_read_json(archive, _CONFIG))
    check_config(config)
    check_member(_WEIGHTS, archive.getinfo(_WEIGHTS), ARRAY_LIMIT)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, _WEIGHTS)
        with archive.open(_WEIGHTS) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        with _at_most(count_weights(copy) + _FREELY_BUILT), ObjectSharingScope():
            model = keras.saving.deserialize_keras_object(
                config, custom_objects=_LAYERS_OF_APPLICATIONS, safe_mode=True
            )
        model.load_weights(copy)
    return model


def _read_json(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    check_member(name, archive.getinfo(name), _CONFIG_LIMIT)
    return parse_json(archive.read(name).decode())


def _check_version(version: Any) -> None:
    major_minor = [int(number) for number in re.findall(r"\d+", str(version))[:2]]
    if not major_minor or major_minor > _NEWEST:
        here = ".".join(map(str, _NEWEST))
        raise ValueError(
            f"it was saved by Keras {version}, and Keras {here} runs here; build the same network "
            "with tf.keras, load into it what model.save_weights('x.weights.h5') of the other "
            "Keras writes, and save it with model.save('x.keras')"
        )


@contextlib.contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Refuse variables of more numbers than this, before their memory is taken."""
    left = count

    def create(create_next: Any, **options: Any) -> Any:
        nonlocal left
        left -= math.prod(tf.TensorShape(options.get("shape") or ()).as_list())
        if left < 0:
            raise ValueError("its layers have more weights than it holds")
        return create_next(**options)

    with tf.variable_creator_scope(create):
        yield


def _reason(error: Exception) -> str:
    """The first line of a message, which may quote the file: without its control characters."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    line = text.splitlines()[0][:_LONGEST_REASON].rstrip(".")
    return "".join(character if character.isprintable() else "?" for character in line)
