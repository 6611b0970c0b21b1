"""Measure what computing the first convolution in 8 bits saves and what it costs.

    python benchmarks/stem_int8.py [--run RUN] [--runs 30] [--output stem_int8.json]

Converts ReActNet-A at 224 pixels with random weights and writes three variants of its stem: weights
stored in int8 and converted to float when the file is loaded; int8 weights with float maps
(TensorFlow Lite's hybrid kernel); and everything in int8. The variants run in turn on one thread in
Larq Compute Engine's interpreter and in s2bnn_runtime. On 16 crops of real photographs it reports
how many signs at the first binary convolution differ from those of the float stem, and the smallest
cosine of the features. With --run it also reports the accuracy of the trained student with 10
images per class.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from folding import convert, measure

from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.files import write_json

SIZE = 224
FORMS = {
    "float": "float",
    "stored": "int8 weights, float when loaded",
    "hybrid": "int8 weights, float maps (hybrid)",
    "int8": "int8 weights and maps",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="a run directory with a trained student")
    parser.add_argument("--runs", type=int, default=30, help="number of timed runs (default 30)")
    parser.add_argument("--output", type=Path, help="write the results to this JSON file")
    options = parser.parse_args()
    quiet_tensorflow()

    files = forms(convert(True, SIZE), photographs())
    rows = {name: {"size_bytes": len(file)} for name, file in files.items()}
    for name, file in files.items():
        rows[name] |= compare(files["float"], file, photographs())
    for runtime in ("lce", "s2bnn") if find_spec("s2bnn_runtime") else ("lce",):
        for name, result in measure(files, runtime, SIZE, options.runs).items():
            rows[name][f"{runtime}_ms"] = result["median_ms"]
    if options.run:
        for name, accuracy in accuracies(options.run).items():
            rows[name]["accuracy"] = accuracy
    for name, row in rows.items():
        print(FORMS[name], "  ".join(f"{key} {value}" for key, value in row.items()), sep=": ")
    if options.output:
        write_json(options.output, rows)


def photographs() -> np.ndarray:
    """Return 16 crops from scikit-learn's two photographs, (16, 224, 224, 3)."""
    from sklearn.datasets import load_sample_images

    generator = np.random.default_rng(0)
    crops = []
    for photo in load_sample_images().images:
        for _ in range(8):
            top, left = (generator.integers(0, side - SIZE) for side in photo.shape[:2])
            crops.append(photo[top : top + SIZE, left : left + SIZE])
    return np.array(crops, np.float32)


def forms(model: bytes, images: np.ndarray) -> dict[str, bytes]:
    changes = {"stored": store, "hybrid": make_hybrid, "int8": make_int8}
    return {"float": model, **{n: edit(model, change, images) for n, change in changes.items()}}


def edit(model: bytes, change: Callable, images: np.ndarray) -> bytes:
    """Return the model with its first convolution changed."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    from s2bnn_tf.tflite.graph import TFLiteGraph

    names = [operation.name for operation in TFLiteGraph(model).operations]
    flat = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    stem = flat.subgraphs[0].operators[names.index("CONV_2D")]
    change(flat, stem, model, images)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(flat.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def store(flat, stem, model: bytes, images: np.ndarray) -> None:
    kernel = quantize_kernel(flat, stem)
    output = add_tensor(flat, flat.subgraphs[0].tensors[kernel].shape, "FLOAT32")
    insert(flat, 0, "DEQUANTIZE", 5, kernel, output)
    stem.inputs = [stem.inputs[0], output, *stem.inputs[2:]]


def make_hybrid(flat, stem, model: bytes, images: np.ndarray) -> None:
    quantize_kernel(flat, stem)
    flat.operatorCodes[stem.opcodeIndex].version = 5


def make_int8(flat, stem, model: bytes, images: np.ndarray) -> None:
    """Use int8 maps, with ranges from the images, and an int32 bias, as TensorFlow Lite does."""
    graph = flat.subgraphs[0]
    scales = graph.tensors[quantize_kernel(flat, stem)].quantization.scale
    before, after = int(stem.inputs[0]), int(stem.outputs[0])
    ranges = [minimum_and_maximum(model, index, images) for index in (before, after)]
    place = graph.operators.index(stem)
    image = add_tensor(flat, graph.tensors[before].shape, "INT8", *affine(*ranges[0]))
    output = add_tensor(flat, graph.tensors[after].shape, "INT8", *affine(*ranges[1]))
    bias = graph.tensors[stem.inputs[2]]
    floats = np.frombuffer(flat.buffers[bias.buffer].data.tobytes(), np.float32)
    steps = scales * affine(*ranges[0])[0]
    bias.buffer = add_buffer(flat, np.round(floats / steps).astype(np.int32))
    bias.type = tensor_type("INT32")
    bias.quantization = quantization(steps, np.zeros(len(steps)))
    stem.inputs, stem.outputs = [image, stem.inputs[1], stem.inputs[2]], [output]
    flat.operatorCodes[stem.opcodeIndex].version = 3
    insert(flat, place, "QUANTIZE", 1, before, image)
    insert(flat, place + 2, "DEQUANTIZE", 2, output, after)


def quantize_kernel(flat, stem) -> int:
    """Quantize the kernel to int8 with one scale per channel and return its tensor."""
    index = int(stem.inputs[1])
    tensor = flat.subgraphs[0].tensors[index]
    content = flat.buffers[tensor.buffer].data.tobytes()
    kernel = np.frombuffer(content, np.float32).reshape(tensor.shape)  # (O, 3, 3, 3)
    scales = np.abs(kernel).max(axis=(1, 2, 3)) / 127
    steps = np.round(kernel / scales[:, None, None, None]).astype(np.int8)
    flat.buffers[tensor.buffer].data = None
    tensor.buffer, tensor.type = add_buffer(flat, steps), tensor_type("INT8")
    tensor.quantization = quantization(scales, np.zeros(len(scales)))
    return index


def affine(low: float, high: float) -> tuple[float, int]:
    """Return the scale and zero point for a range."""
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)


def minimum_and_maximum(model: bytes, index: int, images: np.ndarray) -> tuple[float, float]:
    from s2bnn_tf.export.lce import run_file
    from s2bnn_tf.tflite.graph import with_outputs

    (values,) = run_file(with_outputs(model, [index]), images, "indirect")
    return float(values.min()), float(values.max())


def tensor_type(name: str) -> int:
    from tensorflow.lite.python import schema_py_generated as schema

    return getattr(schema.TensorType, name)


def quantization(scales, zero_points):
    from tensorflow.lite.python import schema_py_generated as schema

    parameters = schema.QuantizationParametersT()
    parameters.scale = np.array(scales, np.float32)
    parameters.zeroPoint = np.array(zero_points, np.int64)
    parameters.quantizedDimension = 0
    return parameters


def add_buffer(flat, values: np.ndarray) -> int:
    from tensorflow.lite.python import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    flat.buffers.append(buffer)
    return len(flat.buffers) - 1


def add_tensor(flat, shape, kind: str, scale: float | None = None, zero_point: int = 0) -> int:
    from tensorflow.lite.python import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.shape, tensor.type = list(shape), tensor_type(kind)
    tensor.name = f"stem{len(flat.subgraphs[0].tensors)}".encode()
    if scale is not None:
        tensor.quantization = quantization([scale], [zero_point])
    flat.subgraphs[0].tensors.append(tensor)
    return len(flat.subgraphs[0].tensors) - 1


def insert(flat, place: int, name: str, version: int, source: int, target: int) -> None:
    from tensorflow.lite.python import schema_py_generated as schema

    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode, code.version = code.builtinCode, version
    flat.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(flat.operatorCodes) - 1
    operator.inputs, operator.outputs = [source], [target]
    operators = list(flat.subgraphs[0].operators)
    operators.insert(place, operator)
    flat.subgraphs[0].operators = operators


def compare(reference: bytes, model: bytes, images: np.ndarray) -> dict[str, float]:
    """Compare the inputs of the first binary convolution, and the features, of two models."""
    from s2bnn_tf.export.lce import run_file
    from s2bnn_tf.tflite.graph import TFLiteGraph, with_outputs

    seen = []
    for file in (reference, model):
        graph = TFLiteGraph(file)
        words = graph.binary_convolutions()[0].inputs[0]
        seen.append(run_file(with_outputs(file, [*graph.outputs, words]), images, "indirect"))
    (features, bits), (others, other_bits) = seen
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(others, axis=1)
    differ = np.unpackbits((bits ^ other_bits).view(np.uint8))
    return {
        "signs_flipped": round(float(differ.mean()), 5),
        "smallest_cosine": round(float(((features * others).sum(axis=1) / lengths).min()), 4),
    }


def accuracies(run: Path) -> dict[str, float]:
    """Return the student's accuracy with each stem, by class means of 10 images, over 20 draws."""
    from few_shot import POOL, accuracy, draw

    from s2bnn_tf.data import open_source
    from s2bnn_tf.evaluation import extract_features
    from s2bnn_tf.export import convert_run
    from s2bnn_tf.export.convert import sample_images
    from s2bnn_tf.runs import RunDirectory
    from s2bnn_tf.tflite import TFLiteEncoder

    data = RunDirectory(run).config.data
    train, test = open_source(data.source, "train"), open_source(data.source, "test")
    train = train.select(np.random.default_rng(0).permutation(len(train))[:POOL])
    images = sample_images(data.source, data.image_size, data.center_crop)
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "student.tflite"
        convert_run(run, path)
        for name, file in forms(path.read_bytes(), images).items():
            (Path(temporary) / f"{name}.tflite").write_bytes(file)
            encoder = TFLiteEncoder(Path(temporary) / f"{name}.tflite", "lce")
            encoder.center_crop = data.center_crop
            pool, labels = extract_features(encoder, train)
            features, expected = extract_features(encoder, test)
            drawn = draw(train.labels, 20)[10]
            scores = [accuracy(pool, labels, rows, features, expected) for rows in drawn]
            found[name] = round(float(np.mean(scores)), 4)
    return found


if __name__ == "__main__":
    main()
