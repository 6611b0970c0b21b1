"""Run an exported network on other processors in QEMU, and count memory and instructions.

    python benchmarks/export_c_targets.py MODEL.tflite [--targets NAME...] [--pictures N]
        [--output benchmarks/results/export_c_targets.json]

Without MODEL it converts a network of the shape of the digits' student with random weights and a
random classifier. It exports the model, compiles it for every target of `processors.py`, and runs
it on all 360 test pictures of the digits, in gray and bytes. Every class is compared with that of
the `.tflite` in Larq Compute Engine's interpreter. Pictures with another class are named; how near
a sign of theirs is to its threshold tells whether that is rounding.

Flash and RAM are those of the whole program without the pictures: on boards with a stack of 4 KiB,
on Linux without the stack. QEMU counts instructions, not cycles.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from processors import PROCESSORS, run_on

from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?", help="a .tflite; default: random weights")
    parser.add_argument("--targets", nargs="+", choices=PROCESSORS, default=list(PROCESSORS))
    parser.add_argument("--pictures", type=int, default=360, help="number (default: all 360)")
    parser.add_argument("--output", type=Path, help="write the results to this JSON file")
    options = parser.parse_args()
    quiet_tensorflow()

    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = options.model or random_student(folder / "student.tflite")
        card, classes = prepare(model, folder / "source", options.pictures)
        for name in options.targets:
            try:
                found = run_on(name, folder / "source")
            except (OSError, RuntimeError) as error:
                rows[name] = {"error": str(error).splitlines()[-1]}
            else:
                rows[name] = compare(model, classes, found)
            print(f"{name:<17}", rows[name], flush=True)
            if options.output:
                facts = {"flash_bytes": card["flash_bytes"], "arena_bytes": card["arena_bytes"]}
                facts |= {"pictures": len(classes), "machine": platform.machine()}
                write_json(options.output, {**facts, "targets": rows})


def compare(model: Path, classes: np.ndarray, found: dict[str, Any]) -> dict[str, Any]:
    """The number of equal classes, and the pictures whose class is another one."""
    seen = np.asarray(found.pop("classes"))
    others = [
        {
            "picture": int(number),
            "class": int(classes[number]),
            "found": int(seen[number]),
            "nearest_sign": nearest_sign(model, int(number), len(classes)),
        }
        for number in np.flatnonzero(seen != classes)
    ]
    return {"same_classes": len(classes) - len(others), "others": others, **found}


def nearest_sign(model: Path, number: int, count: int) -> float:
    """How near a number is to its threshold on one picture, in parts of its map's largest one."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    from s2bnn_tf.tflite import TFLiteGraph, with_outputs

    data = model.read_bytes()
    operations = TFLiteGraph(data).operations
    shown = [item.inputs[0] for item in operations if item.name == "LceQuantize"]
    lce = Interpreter(with_outputs(data, list(dict.fromkeys(shown))))
    _, height, width, channels = lce.input_shapes[0]
    picture = digits((height, width), count)[number, ..., np.newaxis]
    x = np.repeat(picture, channels, -1).astype(np.float32)
    return min(float(np.abs(y).min() / np.abs(y).max()) for y in lce.predict(x[np.newaxis]))


def prepare(model: Path, folder: Path, count: int) -> tuple[dict[str, Any], np.ndarray]:
    """Export a model, write pictures beside it, and return its card and the pictures' classes."""
    from s2bnn_tf.export import export_c
    from s2bnn_tf.tflite import TFLiteEncoder

    card = export_c(model, folder)
    encoder = TFLiteEncoder(model, "lce")
    pictures = digits(encoder.image_size, count)
    inputs = np.repeat(pictures[..., np.newaxis], encoder.channels, -1)
    write_pictures(folder / "pictures.h", pictures)
    return card, encoder.features(inputs).argmax(-1)


def digits(size: Any, count: int) -> np.ndarray:
    """Test pictures of the digits in gray, uint8 `(N, H, W)`."""
    from s2bnn_tf.export.convert import sample_images

    return sample_images("digits", size, 1.0, count)[..., 0].round().astype(np.uint8)


def write_pictures(path: Path, pictures: np.ndarray) -> None:
    rows = ",\n".join(f"{{{','.join(map(str, row.ravel()))}}}" for row in pictures)
    path.write_text(
        f"#define PICTURES {len(pictures)}\n#define PICTURE_SIZE {pictures[0].size}\n"
        f"static const unsigned char pictures[PICTURES][PICTURE_SIZE] = {{\n{rows}}};\n"
    )


def random_student(path: Path) -> Path:
    """A network of the shape of the digits' student, with a classifier, its weights random."""
    import tensorflow as tf

    from s2bnn_tf.backbones import Encoder, build_backbone
    from s2bnn_tf.export import convert_model, deployment_model
    from s2bnn_tf.export.quantize_head import round_to_8_bits, store_8_bit_weights

    tf.keras.utils.set_random_seed(0)
    backbone = build_backbone("reactnet", (32, 32, 3), stem="small", width=0.125)
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(backbone.output_shape[-1], 10)).astype(np.float32)
    probe = round_to_8_bits(kernel), np.zeros(10, np.float32)
    network = deployment_model(Encoder(backbone), 32, "linear", probe)
    path.write_bytes(store_8_bit_weights(convert_model(network, output_name=("logits",))))
    return path


if __name__ == "__main__":
    main()
