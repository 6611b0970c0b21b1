"""`fit --words`: the student in its teacher's space, with classes named in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data import ImageSource, open_source
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.evaluation import (
    FeatureCache,
    extract_features,
    nearest_neighbors,
    readable,
    word_agreement,
)
from s2bnn_tf.files import write_json
from s2bnn_tf.pipeline.plan import Plan
from s2bnn_tf.progress import Progress
from s2bnn_tf.report import FoundByWords, WordRow, thumbnails_of, write_words_page
from s2bnn_tf.runs import LoadedEncoder, open_encoder
from s2bnn_tf.teachers import (
    WordVectors,
    in_words,
    load_teacher,
    make_words,
    read_words,
    teacher_space,
    write_words,
)

WORDS = "words.npz"  # in the output directory
PAGE = "words.html"
_SHOWN_WORDS, _SHOWN_PICTURES = 12, 5  # in the report, which leaves the others to a page
Embedded = dict[str, NDArray[np.float32]]


def begin_words(
    words: str, teacher: str | None, output: Path, progress: Progress
) -> tuple[WordVectors, str | None, str]:
    """Write `words.npz` before anything is trained, so that every mistake shows at once.

    Args:
        words: A list of words for the teacher's text tower, or a file of `s2bnn words`.
        teacher: The teacher, which must be given.
        output: The output directory.
        progress: Called with the number of words.

    Returns:
        The words, their space, and the name of their teacher.

    Raises:
        ConfigError: If the teacher does not know words, or the words are of another one.
        DataError: If the file cannot be used.
    """
    if teacher is None:
        raise ConfigError("--words needs a --teacher that shares a space with words.")
    path = output / WORDS
    if Path(words).suffix != ".npz":
        make_words(words, path, teacher=teacher, progress=progress)
        return read_words(path)
    found, space, name = read_words(words)
    own = teacher_space(in_words(teacher))
    if space not in (None, own):
        raise ConfigError(
            f"The words in {words} are of {name or 'another teacher'} and not of {teacher}; make "
            "them for it with `s2bnn words`."
        )
    name = name or Path(teacher).name
    write_words(path, found, teacher=name, space=own)
    return found, own, name


def finish_words(plan: Plan, output: Path, progress: Progress) -> tuple[dict[str, Any], list[Any]]:
    """Give the words the folder's pictures, and compare the student with its teacher.

    `words.npz` gets the mean of the student's vectors of the pictures that it learned from, and a
    threshold chosen on them.

    What both find for every word is a page of its own, if the report does not show them all.

    Returns:
        The agreement on the held-out pictures, as from `word_agreement` with "threshold"; and what
        the report shows of the words that the teacher uses most. Both are empty without held-out
        pictures.
    """
    words, space, name = read_words(output / WORDS)
    source = plan.look.source
    train = open_source(source, "train")
    run = output / "student"
    encoder, cache = open_encoder(run), FeatureCache(run)
    seen, _ = cache.extract(encoder, train, output="embedding")
    made = write_words(output / WORDS, words, teacher=name, space=space, pictures=seen)
    if not plan.look.test:
        return {}, []
    progress("Comparing the words that student and teacher find")
    test = open_source(source, "test")
    found: Embedded = {
        "student": cache.extract(encoder, test, output="embedding")[0],
        "teacher": _by_teacher(plan, test),
    }
    agreement = word_agreement(found["student"], found["teacher"], words.rows, words.names)
    agreement["threshold"] = made["threshold"]
    write_json(output / "words.json", agreement)
    by_words, pictures = _find(words, found), readable(test)
    if len(words.names) > _SHOWN_WORDS:
        title = f"Words of s2bnn fit: {output.resolve().name}"
        write_words_page(output / PAGE, title, by_words, pictures)
    return agreement, _rows(by_words, pictures)


def _by_teacher(plan: Plan, test: ImageSource) -> NDArray[np.float32]:
    """The teacher's vectors of the held-out pictures, of unit length."""
    config = plan.config("student")
    assert config.teacher is not None
    data = config.data
    network = load_teacher(config.teacher, image_size=data.image_size, channels=data.channels)
    encoder = LoadedEncoder(network, config, "teacher")
    return extract_features(encoder, test, output="embedding")[0]


def _find(words: WordVectors, found: Embedded) -> FoundByWords:
    """The pictures that each network puts first for each word, and how often both agree."""
    count = len(words.names)
    student, teacher = (
        nearest_neighbors(found[who], words.rows, _SHOWN_PICTURES)[1]
        for who in ("student", "teacher")
    )
    said, meant = (
        nearest_neighbors(words.rows, found[who], 1)[1][:, 0] for who in ("student", "teacher")
    )
    return FoundByWords(
        words.names,
        student,
        teacher,
        named=np.bincount(meant, minlength=count),
        agreed=np.bincount(meant[said == meant], minlength=count),
    )


def _rows(found: FoundByWords, pictures: ImageSource) -> list[WordRow]:
    """The words that the teacher uses most, with the pictures that each network puts first."""
    return [
        WordRow(
            found.names[word],
            thumbnails_of(pictures, found.student[word]),
            thumbnails_of(pictures, found.teacher[word]),
        )
        for word in np.argsort(-found.named, kind="stable")[:_SHOWN_WORDS]
    ]


def describe_words(agreement: dict[str, Any]) -> list[str]:
    """What the report says about words."""
    if not agreement:
        return []
    said = [
        f"Of {agreement['pictures']:,} held-out pictures and {agreement['words']:,} words, the "
        f"student's nearest word is the teacher's for {100 * agreement['top1']:.1f} %, and the "
        f"teacher's is among the student's nearest five for {100 * agreement['top5']:.1f} %."
    ]
    pairs = [f"{t} for {s} ({count})" for t, s, count in agreement["confused"]]
    if pairs:
        said.append(
            f"Most often confused, the teacher's word for the student's: {', '.join(pairs)}."
        )
    return said
