"""From a list of words to the file of their vectors: `s2bnn words`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.environment import cache_directory
from s2bnn_tf.errors import ConfigError, DataError
from s2bnn_tf.progress import Progress, no_progress
from s2bnn_tf.reading import Array, read_npz
from s2bnn_tf.teachers.cache import get_teacher, is_published
from s2bnn_tf.teachers.published import PUBLISHED, suggest_name
from s2bnn_tf.teachers.space import teacher_space
from s2bnn_tf.teachers.words.lists import EVERYDAY, Entry, read_list
from s2bnn_tf.teachers.words.onnx_encoder import OnnxTextEncoder
from s2bnn_tf.teachers.words.texts import TextEncoder, check_templates, embed_words
from s2bnn_tf.teachers.words.transformers_encoder import TransformersTextEncoder
from s2bnn_tf.teachers.words.vectors import WordVectors, pick, read_vectors
from s2bnn_tf.teachers.words.write import write_words
from s2bnn_tf.text import counted

log = logging.getLogger(__name__)

ALL = "-"  # in place of a list: all names of the vectors
_NAMED = 3  # words that are left out
_VECTORS = 2**32  # bytes of the pictures' vectors
# As `s2bnn embed` and as `s2bnn-run index` call the vectors of pictures.
_PICTURES = ("embeddings", "vectors")


def make_words(
    source: str | Path,
    output: str | Path,
    *,
    teacher: str | None = None,
    vectors: str | Path | None = None,
    text_encoder: str | Path | None = None,
    templates: Sequence[str] = (),
    pictures: str | Path | None = None,
    everyday: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a file of classes named in words.

    Args:
        source: A list of words, as for `read_list`, or `-` for all names of `vectors`.
        output: The `.npz` to write.
        teacher: The network in whose space the words are: a published name, a run directory or a
            file. Without `vectors` and `text_encoder`, its text tower embeds them.
        vectors: Vectors that were made elsewhere; see `read_vectors`.
        text_encoder: A text encoder in ONNX with its `tokenizer.json` beside it.
        templates: Texts with `{}` where the name goes; defaults to what suits the encoder.
        pictures: An `.npz` of the student's vectors of pictures, by `s2bnn embed` or `s2bnn-run
            index`, from which the mean of pictures and the threshold are taken.
        everyday: Whether to add the 1,000 everyday words, as axes of `words_loss`; of `vectors`,
            those that it has.
        progress: Called with the number of words that are done.

    Returns:
        As `write_words`, and "templates" and "left_out", the number of everyday words that
        `vectors` does not have.

    Raises:
        ConfigError: If the arguments do not go together.
        DataError: If the list, the vectors or the pictures are not what they should be.
        ModelError: If the teacher has no text tower, or the encoder cannot be used.
        DeviceError: If a package is missing.
    """
    _check(source, output, teacher, vectors, text_encoder)
    wanted = check_templates(templates)
    seen = None if pictures is None else read_pictures(pictures)
    used: tuple[str, ...] = ()
    unknown: list[str] = []
    if vectors is not None:
        if wanted:
            raise ConfigError("--template is for texts, and --vectors holds vectors: choose one.")
        words = read_vectors(vectors)
        more, unknown = _known_everyday(words.names, vectors) if everyday else ([], [])
        if str(source) != ALL:
            words = pick(words, _joined(read_list(source), more), vectors)
    else:
        entries = read_list(source)  # before a large network is loaded
        entries = _joined(entries, read_list(EVERYDAY) if everyday else [])
        encoder = _open(teacher, text_encoder)
        used = wanted or encoder.templates
        words = embed_words(encoder, entries, used, progress or no_progress)
    space = None if teacher is None else _space_of(teacher)
    name = "" if teacher is None else Path(teacher).name
    made = write_words(Path(output), words, teacher=name, space=space, pictures=seen)
    return {**made, "templates": list(used), "left_out": len(unknown)}


def in_words(teacher: str) -> TeacherConfig:
    """The teacher whose space words are in: that of its features."""
    return TeacherConfig(weights=teacher, output="features")


def _space_of(teacher: str) -> str:
    """The name of a teacher's space.

    Raises:
        ConfigError: If there is no such teacher, or it was not downloaded.
    """
    space = teacher_space(in_words(teacher))
    if space is None and is_published(teacher):
        raise ConfigError(
            f"{teacher} is not here, and its weights name its space; `s2bnn teachers get "
            f"{teacher}` gets them."
        )
    if space is None:
        raise ConfigError(
            f"There is no teacher {teacher}; give a published name, a run directory or a file, or "
            f"leave --teacher out. {suggest_name(teacher)}".rstrip()
        )
    return space


def read_words(path: str | Path) -> tuple[WordVectors, str | None, str]:
    """Read a file that `make_words` wrote.

    Returns:
        The words, their space or None if it is not known, and the name of their teacher.

    Raises:
        DataError: If it is damaged or another file.
    """
    arrays = {
        "names": Array("U", ("names",)),
        "sums": Array("f", ("names", "dim")),
        "space": Array("U", ()),
        "teacher": Array("U", ()),
        "scale": Array("f", (), low=1e-6, high=1e6),
        "bias": Array("f", (), low=-1e6, high=1e6),
    }
    cure = "make it with `s2bnn words`"
    try:
        found = read_npz(path, arrays, cure=cure, error=DataError, follow_links=True)
    except FileNotFoundError as error:
        raise DataError(f"There is no file of words {path}; {cure}.") from error
    words = WordVectors(
        found["names"].tolist(),
        found["sums"].astype(np.float32),
        float(found["scale"]),
        float(found["bias"]),
    )
    return words, str(found["space"]) or None, str(found["teacher"])


def read_pictures(path: str | Path) -> NDArray[np.float32]:
    """Read the vectors of pictures `(N, D)`, by `s2bnn embed` or `s2bnn-run index`.

    Raises:
        DataError: If the file is damaged or has none.
    """
    cure = "make it with `s2bnn embed` or `s2bnn-run index`"
    wanted = {name: Array("f", ("pictures", "dim"), optional=True) for name in _PICTURES}
    try:
        arrays = read_npz(
            path, wanted, cure=cure, error=DataError, limit=_VECTORS, follow_links=True
        )
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; {cure}.") from error
    found = [arrays[name] for name in _PICTURES if name in arrays]
    if not found or not found[0].size:
        raise DataError(f"{path} has no vectors of pictures; {cure}.")
    return found[0].astype(np.float32)


def _known_everyday(names: Sequence[str], vectors: str | Path) -> tuple[list[Entry], list[str]]:
    """The everyday words that a file of vectors has, and the others, which is said."""
    known, entries = set(names), read_list(EVERYDAY)
    unknown = [entry.name for entry in entries if entry.name not in known]
    if unknown:
        log.warning(
            "%s has no vector of %d of the %s everyday words, which are left out: %s%s.",
            vectors,
            len(unknown),
            f"{len(entries):,}",
            ", ".join(unknown[:_NAMED]),
            f" and {counted(len(unknown) - _NAMED, 'other')}" if len(unknown) > _NAMED else "",
        )
    return [entry for entry in entries if entry.name in known], unknown


def _joined(entries: list[Entry], more: list[Entry]) -> list[Entry]:
    """Entries, and more whose names are not among them."""
    names = {entry.name for entry in entries}
    return [*entries, *(entry for entry in more if entry.name not in names)]


def _check(
    source: str | Path,
    output: str | Path,
    teacher: str | None,
    vectors: str | Path | None,
    text_encoder: str | Path | None,
) -> None:
    if vectors is not None and text_encoder is not None:
        raise ConfigError("--vectors and --text-encoder are two ways to one thing: choose one.")
    if teacher is None and vectors is None and text_encoder is None:
        raise ConfigError("Say who knows the words: --teacher, --vectors or --text-encoder.")
    if str(source) == ALL and vectors is None:
        raise ConfigError(f"{ALL} takes all names of --vectors; name a list of words.")
    if Path(output).suffix != ".npz":
        raise ConfigError(f"The output must be named *.npz, not {Path(output).name!r}.")


def _open(teacher: str | None, text_encoder: str | Path | None) -> TextEncoder:
    if text_encoder is not None:
        return OnnxTextEncoder(Path(text_encoder))
    assert teacher is not None
    if not is_published(teacher) or not PUBLISHED[teacher].words:
        known = ", ".join(name for name, published in PUBLISHED.items() if published.words)
        raise ConfigError(
            f"{teacher} has no text tower; give --text-encoder or --vectors, or one of {known}."
        )
    folder = text_tower(teacher)
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"The text tower of {teacher} is not here: put config.json, model.safetensors and "
            f"tokenizer.json of {PUBLISHED[teacher].words} into {folder}."
        )
    get_teacher(teacher)  # whose digest names the space
    return TransformersTextEncoder(folder)


def text_tower(teacher: str) -> Path:
    """The folder of a teacher's whole model, which holds its text tower."""
    return cache_directory() / "text-towers" / teacher
