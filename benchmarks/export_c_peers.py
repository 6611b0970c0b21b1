"""Put the C source of a digits' classifier beside int8 networks in TensorFlow Lite Micro.

    pip install tflite-micro
    python benchmarks/export_c_peers.py CLASSIFIER.tflite
        [--output benchmarks/results/export_c_peers.json]

The package holds TensorFlow Lite Micro's interpreter with its reference kernels, compiled for
x86-64 alone. No package has its sources or those of CMSIS-NN, so that both sides are counted on
x86-64, without vectors that not every such processor has, by the same plug-in of QEMU; the C source
both with its SSE2 kernels and in plain C.

The int8 networks are ResNet-8 of MLPerf Tiny (width 16) and narrower ones, trained here with labels
on the 1,437 training pictures of the digits for a few epochs, and quantized by TensorFlow Lite's
own converter. All are evaluated on the 360 test pictures. Instructions are those of a run alone.
RAM is the arena, TensorFlow Lite Micro's with its 8-byte pointers, and flash is the weights: the
`.tflite` file, or the constants of the C source.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from export_c_targets import prepare
from processors import System, compile_plugin, count_instructions

from s2bnn_tf.data.digits import load_digits
from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.files import write_json

WIDTHS = (4, 8, 16)
EPOCHS = 15
MACS = ("binary_macs", "float_macs")
# One process for one network: it prints the classes, and runs the last picture once more `more`
# times. What it allocates goes to standard error.
CHILD = """
import sys
import numpy as np
from tflite_micro.python.tflite_micro import runtime
model, pictures, more = sys.argv[1:]
network = runtime.Interpreter.from_file(model)
for picture in np.load(pictures):
    network.set_input(picture[None], 0)
    network.invoke()
    print(network.get_output(0).argmax())
network.print_allocations()
for _ in range(int(more)):
    network.invoke()
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="the .tflite of a classifier of the digits")
    parser.add_argument("--output", type=Path, help="write the results to this JSON file")
    options = parser.parse_args()
    quiet_tensorflow()

    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows |= measure_ours(options.model, folder / "source")
        for width in WIDTHS:
            path = folder / f"resnet8-{width}.tflite"
            rows[f"ResNet-8, width {width}"] = train(width, path) | measure_tflm(path, folder)
    for name, row in rows.items():
        print(f"{name:<24}", row)
    if options.output:
        host = {"machine": platform.processor() or platform.machine()}
        write_json(options.output, {**host, "networks": rows})


def measure_ours(model: Path, folder: Path) -> dict[str, Any]:
    """The C source with SSE2 and without, on the whole test set."""
    images, labels, _ = load_digits("test")
    card, _ = prepare(model, folder, len(images))
    sums = {kind: sum(row[kind] for row in card["operations"]) for kind in MACS}
    rows: dict[str, Any] = {}
    for name, flags in {"C source, SSE2": "", "C source, plain": "-DS2BNN_PORTABLE"}.items():
        target = System("x86_64-linux-musl", flags, "qemu-x86_64")
        program = folder / name.replace(" ", "-")
        target.build(folder, program)
        classes, found = target.look(program)
        rows[name] = {
            "accuracy": float(np.mean(classes == labels)),
            "flash_bytes": card["flash_bytes"],
            "ram_bytes": card["arena_bytes"],
            "instructions": found["instructions"],
            **sums,
        }
    return rows


def train(width: int, path: Path) -> dict[str, Any]:
    """Train a ResNet-8, write it in int8, and return its number of multiply-adds."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    network = resnet8(width)
    images, labels, _ = load_digits("train")
    x = images.astype(np.float32) / 255
    network.compile(tf.keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    network.fit(x, labels, batch_size=32, epochs=EPOCHS, verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture[None]] for picture in x[:100])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())
    return {"int8_macs": multiply_adds(network)}


def resnet8(width: int) -> Any:
    """The image classification network of MLPerf Tiny, of any width."""
    from tensorflow import keras

    def convolution(x: Any, channels: int, size: int, stride: int = 1) -> Any:
        x = keras.layers.Conv2D(channels, size, stride, "same", use_bias=False)(x)
        return keras.layers.BatchNormalization()(x)

    inputs = keras.Input((32, 32, 3))
    x = keras.layers.ReLU()(convolution(inputs, width, 3))
    for stage in range(3):
        stride, channels = (2 if stage else 1), width << stage
        y = keras.layers.ReLU()(convolution(x, channels, 3, stride))
        y = convolution(y, channels, 3)
        if stage:
            x = keras.layers.Conv2D(channels, 1, stride, "same")(x)
        x = keras.layers.ReLU()(x + y)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(x))
    return keras.Model(inputs, keras.layers.Dense(10, "softmax")(x))


def multiply_adds(network: Any) -> int:
    """Those of convolutions and dense layers, for one picture."""
    found = 0
    for layer in network.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            found += int(np.prod(layer.output_shape[1:-1])) * int(np.prod(kernel.shape))
    return found


def measure_tflm(model: Path, folder: Path) -> dict[str, Any]:
    """The accuracy, the arena, and the instructions of a run in TensorFlow Lite Micro."""
    images, labels, _ = load_digits("test")
    pictures = folder / "pictures.npy"
    np.save(pictures, (images.astype(np.int16) - 128).astype(np.int8))
    command = [sys.executable, "-c", CHILD, str(model), str(pictures)]
    done = subprocess.run([*command, "0"], capture_output=True, text=True, check=True)
    classes = np.array(done.stdout.split(), int)
    arena = re.search(r"Arena allocation total (\d+)", done.stderr)
    assert arena is not None
    np.save(pictures, np.load(pictures)[:1])
    os.environ |= {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}  # steady counts
    emulator = ["qemu-x86_64", "-plugin", str(compile_plugin(folder))]
    once, more = (count_instructions([*emulator, *command, runs]) for runs in ("0", "2"))
    return {
        "accuracy": float(np.mean(classes == labels)),
        "flash_bytes": model.stat().st_size,
        "ram_bytes": int(arena[1]),
        "instructions": (more - once) // 2,
    }


if __name__ == "__main__":
    main()
