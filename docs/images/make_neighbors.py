"""Draw neighbors.svg, the README's picture: an image, its bits, and its nearest neighbors.

    python docs/images/make_neighbors.py --student RUN

Everything in it is computed. The images are the first test images of four different classes. The
bits are those that the first binary convolution on a map of at most 16 pixels reads in the
converted file, in its first 12 channels. The neighbors are the training images with the most
similar features.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.errors import UserError
from s2bnn_tf.files import write_text

if TYPE_CHECKING:
    from s2bnn_tf.data import ImageSource
    from s2bnn_tf.tflite import TFLiteEncoder

SOURCE = "idx:/usr/share/datasets/fashion-mnist"
POOL = 10_000  # training images to search
QUERIES, CHANNELS, NEIGHBORS = 4, 12, 5
ROW = 104  # pixels
POSITIVE, NEGATIVE = (245, 166, 35), (43, 52, 103)  # amber and indigo, for +1 and -1
STYLE = """
    text { fill: #1f2340; text-anchor: middle }
    .small { font-size: 11px; fill: #4a4f72 }
    .other { font-size: 10px; fill: #b5500b }
    image { image-rendering: pixelated }
    path { stroke: #7a80a8; stroke-width: 1.5; fill: none; marker-end: url(#arrow) }
    @media (prefers-color-scheme: dark) {
      text { fill: #eef0ff } .small { fill: #b9bede } .other { fill: #ffb070 }
    }
"""
ARROW = (
    '<defs><marker id="arrow" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
    '<path d="M0,0 L8,4 L0,8" style="marker-end:none"/></marker></defs>'
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--student", type=Path, required=True, help="a run directory")
    parser.add_argument("--data", default=SOURCE, help=f"images with classes (default {SOURCE})")
    output = Path(__file__).with_name("neighbors.svg")
    parser.add_argument("--output", type=Path, default=output)
    options = parser.parse_args()
    quiet_tensorflow()

    from s2bnn_tf.data import open_source
    from s2bnn_tf.evaluation import extract_features, nearest_neighbors
    from s2bnn_tf.export import convert_run
    from s2bnn_tf.tflite import TFLiteEncoder

    train, test = open_source(options.data, "train"), open_source(options.data, "test")
    train = train.select(np.random.default_rng(0).permutation(len(train))[:POOL])
    test = test.select(first_of_each_class(test)[:QUERIES])
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "student.tflite"
        convert_run(options.student, file)
        encoder = TFLiteEncoder(file)
        pool, queries = (extract_features(encoder, source)[0] for source in (train, test))
        bits = read_bits(file.read_bytes(), test, encoder)
    similarities, neighbors = nearest_neighbors(pool, queries, NEIGHBORS)
    write_text(options.output, draw(train, test, bits, similarities, neighbors))


def first_of_each_class(source: ImageSource) -> npt.NDArray[np.int64]:
    """The indices of the first image of each class, in the order of the images."""
    assert source.labels is not None
    _, first = np.unique(source.labels, return_index=True)
    return np.sort(first)


def read_bits(model: bytes, source: ImageSource, encoder: TFLiteEncoder) -> npt.NDArray[np.float32]:
    """Return the bits that a binary convolution reads, as -1 and +1: `(N, H, W, C)`."""
    from s2bnn_tf.data import labeled_dataset
    from s2bnn_tf.export.lce import run_file
    from s2bnn_tf.tflite import TFLiteGraph, unpack_signs, with_outputs

    graph = TFLiteGraph(model)
    chosen, channels = next(
        (operation.inputs[0], operation.options["channels_in"])
        for operation in graph.binary_convolutions()
        if graph.tensors[operation.inputs[0]].shape[2] <= 16
    )
    size, crop = encoder.image_size, encoder.center_crop
    dataset = labeled_dataset(
        source,
        image_size=size,
        batch_size=len(source),
        center_crop=crop,
        channels=encoder.channels,
    )
    images = next(iter(dataset.as_numpy_iterator()))[0]
    instrumented = with_outputs(model, [*graph.outputs, chosen])
    return unpack_signs(run_file(instrumented, images, "indirect")[1], channels)


def draw(
    train: ImageSource,
    test: ImageSource,
    bits: npt.NDArray[np.float32],
    similarities: npt.NDArray[np.float32],
    neighbors: npt.NDArray[np.int64],
) -> str:
    """Return the picture as SVG: one row per test image."""
    assert train.labels is not None and test.labels is not None
    shown, height = min(CHANNELS, bits.shape[-1]), 40 + ROW * len(test)
    title = "Images go in, become bits, and similar images come out"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {height}" role="img" '
        f'font-family="sans-serif" font-size="14" aria-label="{title}">',
        f"<style>{STYLE}</style>{ARROW}",
        '<text x="60" y="20">image in</text>',
        f'<text x="285" y="20">bits: {shown} of the maps inside</text>',
        f'<text x="645" y="20">nearest of {len(train):,} images</text>',
    ]
    for row in range(len(test)):
        top = 36 + ROW * row
        parts += [image(test.read(row), 24, top, 72), label(60, top + 86, name(test, row))]
        parts.append(f'<path d="M106,{top + 36} H138"/><path d="M432,{top + 36} H464"/>')
        for channel in range(shown):
            signs = bits[row, :, :, channel, np.newaxis]
            pixels = np.where(signs > 0, POSITIVE, NEGATIVE).astype(np.uint8)
            x, y = 150 + 46 * (channel % 6), top - 4 + 46 * (channel // 6)
            parts.append(image(pixels, x, y, 40))
        for place, index in enumerate(neighbors[row]):
            x = 476 + 76 * place
            same = train.labels[index] == test.labels[row]
            said = f"{similarities[row, place]:.2f}" + ("" if same else f" {name(train, index)}")
            parts += [image(train.read(index), x, top, 68)]
            parts += [label(x + 34, top + 86, said, "small" if same else "other")]
    return "\n".join([*parts, "</svg>"]) + "\n"


def name(source: ImageSource, index: int) -> str:
    assert source.labels is not None
    return str(source.class_names[source.labels[index]])


def label(x: int, y: int, text: str, kind: str = "small") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{text}</text>'


def image(pixels: npt.NDArray[np.uint8], x: int, y: int, size: int) -> str:
    """Return an image, `(H, W, 3)`, as a part of the SVG."""
    stream = io.BytesIO()
    picture = Image.fromarray(pixels)
    gray = (pixels == pixels[:, :, :1]).all()
    picture = picture.convert("L") if gray else picture.quantize(2)
    picture.save(stream, "PNG", optimize=True)
    data = base64.b64encode(stream.getvalue()).decode()
    place = f'x="{x}" y="{y}" width="{size}" height="{size}"'
    return f'<image {place} href="data:image/png;base64,{data}"/>'


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
