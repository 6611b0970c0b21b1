"""Write tests/golden.npz: small models, inputs, and the outputs of Larq Compute Engine.

    PYTHONPATH=.:tests python tools/make_golden.py       (needs TensorFlow and Larq Compute Engine)

With this file, tests/check_host.py can check hosts and processors for which neither of the two can
be installed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from graphs import pack_bits
from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter
from test_bconv import draw_case
from test_fusion import RandomGraph
from test_ops import bmaxpool_model, dequantize_model, quantize_model

OUTPUT = Path(__file__).parent.parent / "tests" / "golden.npz"


def run_lce(model: bytes, x: np.ndarray, **options) -> list[np.ndarray]:
    outputs = LceInterpreter(model, num_threads=1, **options).predict(x)
    return outputs if isinstance(outputs, list) else [outputs]


def convolutions() -> dict:
    cases = {}
    for seed in range(16):
        case = draw_case(np.random.default_rng(seed))
        x = pack_bits(case.input())
        one = dataclasses.replace(
            case, batch=1
        ).model()  # LCE's interpreter takes one image at a time
        cases[f"bconv{seed:02}"] = (
            case.model(),
            x,
            run_lce(one, x, use_indirect_bgemm=case.groups > 1),
        )
    return cases


def small_ops() -> dict:
    rng = np.random.default_rng(0)
    shape = (2, 4, 3, 70)
    floats = rng.normal(size=shape).astype(np.float32)
    int8 = rng.integers(-128, 128, shape, dtype=np.int8)
    flags = rng.random(shape) < 0.5
    bits = pack_bits(floats)
    quantization = {"scale": 0.013, "zero_point": -60}
    one = (1, *shape[1:])
    pool = bmaxpool_model(4, 3, 70, (3, 2), (2, 1), "SAME")
    return {
        "quantize-float": (quantize_model(shape, "float32"), floats, [bits]),
        "quantize-int8": (
            quantize_model(shape, "int8", **quantization),
            int8,
            run_lce(quantize_model(one, "int8", **quantization), int8),
        ),
        "quantize-bool": (
            quantize_model(shape, "bool"),
            flags,
            [pack_bits(np.where(flags, 1, -1))],
        ),
        "dequantize-float": (
            dequantize_model(shape, "float32"),
            bits,
            run_lce(dequantize_model(one, "float32"), bits),
        ),
        "dequantize-int8": (
            dequantize_model(shape, "int8", **quantization),
            bits,
            run_lce(dequantize_model(one, "int8", **quantization), bits),
        ),
        "dequantize-bool": (dequantize_model(shape, "bool"), bits, [floats >= 0]),
        "bmaxpool": (pool, bits[:1], run_lce(pool, bits[:1])),
    }


def graphs() -> dict:
    cases = {}
    for seed in range(10):
        graph = RandomGraph(seed)
        model = graph.grow(8)
        x = np.random.default_rng(seed).normal(size=graph.input_shape).astype(np.float32)
        cases[f"graph{seed:02}"] = model, x, run_lce(model, x)
    return cases


def network() -> tuple[bytes, np.ndarray, list[np.ndarray]]:
    """Residual blocks between a float convolution and a dense layer, all with exact sums in
    float32.

    A host may therefore add them in any order: the result is the same to the bit.
    """
    import larq as lq
    import larq_compute_engine as lce
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    layers = tf.keras.layers

    def norm():
        return layers.BatchNormalization(
            beta_initializer=tf.keras.initializers.RandomNormal(0, 0.3),
            gamma_initializer=tf.keras.initializers.RandomUniform(0.5, 1.5),
            moving_mean_initializer=tf.keras.initializers.RandomNormal(0, 2),
        )

    def binary(channels, **options):
        signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
        return lq.layers.QuantConv2D(
            channels, 3, padding="same", use_bias=False, **signs, **options
        )

    image = layers.Input((24, 24, 3))
    first = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)
    x = first(image)
    first.set_weights([rng.integers(-8, 9, (3, 3, 3, 32)) / 8])
    y = norm()(binary(32, pad_values=1)(x))
    x = layers.PReLU(shared_axes=[1, 2], alpha_initializer=tf.keras.initializers.Constant(0.2))(
        x + y
    )
    x = norm()(binary(32)(x)) + x
    shortcut = layers.AveragePooling2D(2)(x)
    x = norm()(binary(64, strides=2, pad_values=1)(x)) + layers.Concatenate()([shortcut, shortcut])
    x = norm()(binary(64, activation="relu", pad_values=1)(x))
    x = layers.MaxPool2D(3, strides=2, padding="same")(lq.quantizers.SteSign()(x - 0.5))
    x = lq.layers.QuantDense(10, kernel_quantizer="ste_sign", use_bias=False)(layers.Flatten()(x))
    model = lce.convert_keras_model(tf.keras.Model(image, x))
    images = rng.integers(0, 256, (3, 24, 24, 3)).astype(np.float32)
    return model, images, run_lce(model, images)


def main() -> None:
    cases = {**small_ops(), **convolutions(), **graphs(), "network": network()}
    arrays = {}
    for name, (model, x, outputs) in cases.items():
        arrays[f"{name}/model"] = np.frombuffer(model, np.uint8)
        arrays[f"{name}/input"] = x
        arrays |= {f"{name}/output{i}": y for i, y in enumerate(outputs)}
    np.savez_compressed(OUTPUT, **arrays)
    print(f"{OUTPUT}: {len(cases)} cases, {OUTPUT.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
