"""The sides of the comparison. Each runs in its own process, which waits for its turn.

    python sides.py '{"engine": "tflite", "model": "mobilenet.tflite", "threads": 1}'

loads the model and answers "ready", or the reason why that is not possible. Then, for each number N
on standard input, it runs N images and answers with a JSON list of milliseconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

LCE_KERNELS = {
    "default": {},
    "indirect": {"use_indirect_bgemm": True},
    "reference": {"use_reference_bconv": True},
}


def s2bnn(model: str, threads: int, kernels: str) -> Callable[[], Any]:
    from s2bnn_runtime import Interpreter, find_host

    interpreter = Interpreter(model, threads, host=find_host("tensorflow"), kernels=kernels)
    x = _image(interpreter.input_details[0])
    return lambda: interpreter.predict(x)


def lce(model: str, threads: int, kernels: str) -> Callable[[], Any]:
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    with open(model, "rb") as file:
        interpreter = Interpreter(file.read(), num_threads=threads, **LCE_KERNELS[kernels])
    x = np.random.default_rng(0).normal(size=interpreter.input_shapes[0]).astype(np.float32)
    return lambda: interpreter.predict(x)


def tflite(model: str, threads: int) -> Callable[[], Any]:
    """TensorFlow's interpreter, or LiteRT's if TensorFlow is not installed. Both pass float work
    to XNNPACK.
    """
    try:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    except ImportError:
        from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(model, num_threads=threads)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    x = _image(details)

    def run():
        interpreter.set_tensor(details["index"], x)
        interpreter.invoke()

    return run


def onnxruntime(model: str, threads: int) -> Callable[[], Any]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    x = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    return lambda: session.run(None, {source.name: x})


def torch(model: str, threads: int) -> Callable[[], Any]:
    import types

    import torch

    # onnx2torch imports torchvision for detection, which no network here does, and PyPI has it only
    # for CUDA.
    for name in ("torchvision", "torchvision.ops"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchvision.ops"].roi_align = None
    import onnx2torch

    torch.set_num_threads(threads)
    module = onnx2torch.convert(model).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        module = torch.jit.optimize_for_inference(torch.jit.trace(module, x))

    def run():
        with torch.inference_mode():
            module(x)

    return run


def _image(details: dict[str, Any]) -> np.ndarray:
    shape = [1, *details["shape"][1:]]
    return np.random.default_rng(0).normal(size=shape).astype(details["dtype"])


def main() -> None:
    spec = json.loads(sys.argv[1])
    # Libraries print to standard output. Answers go to the original one, and everything else to
    # standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        run = globals()[spec.pop("engine")](**spec)
        run()
    except Exception as error:  # noqa: BLE001 (the others are measured in any case)
        answers.write(f"{type(error).__name__}: {error}".splitlines()[0] + "\n")
        return
    answers.write("ready\n")
    for line in sys.stdin:
        milliseconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            run()
            milliseconds.append(1e3 * (time.perf_counter() - start))
        answers.write(json.dumps(milliseconds) + "\n")


if __name__ == "__main__":
    main()
