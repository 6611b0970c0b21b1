"""Measure what computing the first convolution in whole numbers saves where floats are emulated.

    python benchmarks/export_c_stem.py [MODEL.tflite...] [--pictures 100]
        [--output benchmarks/results/export_c_stem.json]

The stem takes bytes, weights in 8 or 16 bits with one scale per channel, and sums in int32; the
normalization is in its weights and its bias. Before the named models it measures a network of the
shape of the digits' student with random weights.

Exactness is that of an equivalent `.tflite` in Larq Compute Engine's interpreter: the share of
signs that differ at the first binary convolution, and the cosines of the outputs, on test pictures
of the digits and on crops of scikit-learn's two photographs. "float" is the float stem with its
numbers rounded otherwise, which is what any other order of additions does. Instructions are counted
on a Cortex-M3 in QEMU (see export_c_targets.py), with `export_c/stem.c` in place of the float stem;
`same_classes` compares its largest outputs on 8 digits with those of the equivalent file.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from export_c_targets import prepare, random_student
from numpy.typing import NDArray
from processors import FILES, run_on
from stem_int8 import add_buffer, add_tensor, edit, photographs

from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.errors import ModelError
from s2bnn_tf.files import write_json

FORMS = {"float": 31, "int8": 8, "int16": 16}  # bits of a weight


@dataclass(frozen=True)
class Stem:
    """What replaces a stem: `scale * sum(filters * bytes) + bias`, with `padding` as bytes."""

    filters: NDArray[np.float64]  # whole numbers, (O, H, W, C)
    scale: NDArray[np.float64]  # (O,)
    bias: NDArray[np.float64]  # (O,)
    padding: NDArray[np.float64]  # (C,)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="*", help="besides random weights")
    parser.add_argument("--pictures", type=int, default=100, help="of each kind (default 100)")
    parser.add_argument("--output", type=Path, help="write the results to this JSON file")
    options = parser.parse_args()
    quiet_tensorflow()

    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for path in (random_student(Path(temporary) / "random.tflite"), *options.models):
            for form, bits in FORMS.items():
                folder = Path(temporary) / f"{len(rows)}"
                row = exactness(path.read_bytes(), bits, options.pictures)
                rows[f"{path.stem} {form}"] = row | instructions(path, bits, folder)
                print(path.stem, form, rows[f"{path.stem} {form}"], flush=True)
    if options.output:
        write_json(options.output, rows)


def make_stem(model: bytes, bits: int) -> Stem:
    """Fold the normalization into the weights, and round these to whole numbers."""
    from s2bnn_tf.tflite import TFLiteGraph

    graph = TFLiteGraph(model)
    first = [item for item in graph.operations if item.name != "DEQUANTIZE"][:3]
    if [operation.name for operation in first] != ["MUL", "ADD", "CONV_2D"]:
        raise ModelError("The network does not begin with a normalization and a convolution.")
    multiplier, shift, filters, bias = (
        np.asarray(graph.tensors[index].constant, np.float64)
        for index in (first[0].inputs[1], first[1].inputs[1], *first[2].inputs[1:3])
    )
    folded = filters * multiplier
    scale = np.abs(folded).max((1, 2, 3)) / (2 ** (bits - 1) - 1)
    whole = np.round(folded / scale[:, None, None, None])
    padding = -shift / multiplier
    shifted = bias - scale * (whole * padding).sum((1, 2, 3))
    return Stem(whole, scale, shifted, padding if bits > 16 else np.round(padding))


def equivalent(model: bytes, stem: Stem) -> bytes:
    """The `.tflite` in floats that computes the same."""

    def change(flat: Any, operator: Any, _model: bytes, _images: Any) -> None:
        graph = flat.subgraphs[0]
        place = graph.operators.index(operator)
        multiply, add = graph.operators[place - 2 : place]
        tensor = graph.tensors[int(multiply.inputs[1])]
        stored = flat.buffers[tensor.buffer].data.tobytes()
        multiplier = np.frombuffer(stored, np.float32).astype(np.float64)
        scaled = stem.filters * stem.scale[:, None, None, None]
        bias = stem.bias + (scaled * stem.padding).sum((1, 2, 3))
        new = []  # the old tensors may be those of other operations too
        for values in (-multiplier * stem.padding, scaled / multiplier, bias):
            new.append(add_tensor(flat, values.shape, "FLOAT32"))
            graph.tensors[new[-1]].buffer = add_buffer(flat, values.astype(np.float32))
        add.inputs = [add.inputs[0], new[0]]
        operator.inputs = [operator.inputs[0], *new[1:]]

    return edit(model, change, np.zeros(0))


def exactness(model: bytes, bits: int, count: int) -> dict[str, Any]:
    from s2bnn_tf.export.lce import run_file
    from s2bnn_tf.tflite.graph import TFLiteGraph, with_outputs

    graph = TFLiteGraph(model)
    words = graph.binary_convolutions()[0].inputs[0]
    found: dict[str, Any] = {}
    for kind, images in pictures(graph.tensors[graph.inputs[0]].shape[1:], count).items():
        (features, signs), (others, other_signs) = (
            run_file(with_outputs(file, [graph.outputs[0], words]), images, "indirect")
            for file in (model, equivalent(model, make_stem(model, bits)))
        )
        ones = np.unpackbits((signs ^ other_signs).view(np.uint8)).sum()
        channels = make_stem(model, bits).filters.shape[0]
        lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(others, axis=1)
        cosines = (features * others).sum(axis=1) / lengths
        found[kind] = {
            "signs_flipped": round(float(ones / signs[..., 0].size / channels), 6),
            "smallest_cosine": round(float(cosines.min()), 4),
            "median_cosine": round(float(np.median(cosines)), 5),
            "below_0.999": int((cosines < 0.999).sum()),
        }
    return found


def pictures(shape: tuple[int, ...], count: int) -> dict[str, NDArray[np.float32]]:
    """Digits and photographs, float32 `(N, H, W, C)`, whole numbers from 0 to 255."""
    from PIL import Image

    from s2bnn_tf.export.convert import sample_images

    height, width, channels = shape
    digits = sample_images("digits", (height, width), 1.0, count)
    generator = np.random.default_rng(0)
    photos, crops = photographs().astype(np.uint8), []
    for _ in range(count):
        photo = Image.fromarray(generator.choice(photos))
        side = int(generator.integers(64, photo.height))
        left, top = (int(generator.integers(0, n - side)) for n in photo.size)
        box = (left, top, left + side, top + side)
        crops.append(np.asarray(photo.resize((width, height), box=box)))
    found = {"digits": digits.round(), "photographs": np.array(crops)}
    return {kind: images[..., :channels].astype(np.float32) for kind, images in found.items()}


def instructions(path: Path, bits: int, folder: Path) -> dict[str, Any]:
    """Count those of a run on a Cortex-M3."""
    stem = make_stem(path.read_bytes(), bits)
    prepare(path, folder, 8)
    if bits > 16:
        return {"instructions": run_on("Cortex-M3", folder)["instructions"]}
    changed = folder / "changed.tflite"
    changed.write_bytes(equivalent(path.read_bytes(), stem))
    _, classes = prepare(changed, folder / "changed", 8)
    replace_stem(folder / "model.c", stem, bits)
    found = run_on("Cortex-M3", folder)
    same = int((found["classes"] == classes).sum())
    return {"instructions": found["instructions"], "same_classes": same}


def replace_stem(path: Path, stem: Stem, bits: int) -> None:
    """Put `stem.c` and its numbers into an exported source, in place of the float stem."""
    channels, *window = stem.filters.shape
    if channels % 4:
        raise ModelError("The stem's channels are no multiple of 4.")
    fours = stem.filters.reshape(channels // 4, 4, -1).transpose(0, 2, 1)
    arrays = {
        "stem_weight stem_filter": fours.astype(int),
        "uint8_t stem_padding": stem.padding.astype(int),
        "float stem_scale": stem.scale.astype(np.float32),
        "float stem_bias": stem.bias.astype(np.float32),
    }
    lines = [f"typedef int{bits}_t stem_weight;", f"#define STEM_PRODUCTS {np.prod(window)}"]
    for name, values in arrays.items():
        numbers = ", ".join(map(repr, values.ravel().tolist()))
        lines.append(f"static const {name}[] = {{{numbers}}};")
    lines.append((FILES / "stem.c").read_text())
    before, group, rest = re.split(r"(static void group_0.*?\n}\n)", path.read_text(), flags=re.S)
    source = re.search(r"float \*const (map_\d+)", group).group(1)
    group = re.sub(
        r"  for .*?\n  }\n",
        f"  stem_bytes({source}, MODEL_INPUT_BYTES / 4, (uint8_t*){source});\n",
        group,
        flags=re.S,
    )
    rest, count = re.subn(
        r"s2bnn_conv_row\(&(conv_2), (\w+), row, \w+, (.*)\);",
        rf"stem_row(&\1.window, {channels}, (const uint8_t*)\2, row, \3);",
        rest,
        count=1,
    )
    assert count == 1
    path.write_text("\n".join([before, *lines, group, rest]))


if __name__ == "__main__":
    main()
