"""The measured networks, each as a binary `.tflite`, and in float as `.tflite` and `.onnx`.

Weights and statistics are random, which changes no time. The float twin has an ordinary convolution
in place of each binary one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

IMAGE_SIZE = 224
BINARY = ("ReActNet-A", "QuickNet", "BiRealNet", "BinaryResNetE18")
FLOAT_ONLY = ("MobileNetV2", "MobileNetV2-int8")


def build(name: str, folder: Path, kinds: Sequence[str] | None = None) -> dict[str, str]:
    """Make the files of a network if they do not exist.

    Returns:
        The paths of the `kinds`, by default of all: "binary", "float" and "onnx", or only "float"
        for a network of `FLOAT_ONLY`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if kinds is None:
        kinds = ("binary", "float", "onnx") if name in BINARY else ("float",)
    paths = {
        kind: folder / f"{name}-{kind}.{'onnx' if kind == 'onnx' else 'tflite'}" for kind in kinds
    }
    if not all(path.is_file() for path in paths.values()):
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        if name in BINARY:
            _build_binary(name, paths)
        else:
            paths["float"].write_bytes(_mobilenet(int8=name.endswith("int8")))
    return {kind: str(path) for kind, path in paths.items()}


def _build_binary(name: str, paths: dict[str, Path]) -> None:
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    if name == "ReActNet-A":
        model = _reactnet()
        paths["binary"].write_bytes(_convert_reactnet(model))
    else:
        import larq_compute_engine
        import larq_zoo

        family = larq_zoo.sota if name == "QuickNet" else larq_zoo.literature
        model = getattr(family, name)(input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3), weights=None)
        _randomize(model)
        paths["binary"].write_bytes(larq_compute_engine.convert_keras_model(model))
    if len(paths) == 1:
        return
    twin = _float_twin(model)
    paths["float"].write_bytes(_convert_float(twin))
    _write_onnx(twin, paths["onnx"])


def _reactnet():
    from s2bnn_tf.backbones import build_backbone

    model = build_backbone("reactnet", (IMAGE_SIZE, IMAGE_SIZE, 3))
    _randomize(model)
    return model


def _convert_reactnet(model) -> bytes:
    from s2bnn_tf.backbones import Encoder
    from s2bnn_tf.export.deployment import deployment_model
    from s2bnn_tf.export.lce import convert_model

    return convert_model(deployment_model(Encoder(model), IMAGE_SIZE), output_name="features")


def _randomize(model) -> None:
    """Draw the statistics and scales of batch normalization. The initial ones would be folded
    away.
    """
    rng = np.random.default_rng(0)
    for variable in (v for layer in model.layers for v in layer.weights):
        part = variable.name.split("/")[-1].split(":")[0]
        if part in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif part in ("beta", "moving_mean"):
            variable.assign(rng.normal(0, 0.3, variable.shape))


def _float_twin(model):
    import larq as lq
    import tensorflow as tf

    def as_float(layer):
        if not isinstance(layer, lq.layers.QuantConv2D):
            return layer.__class__.from_config(layer.get_config())
        return tf.keras.layers.Conv2D(
            layer.filters,
            layer.kernel_size,
            layer.strides,
            layer.padding,
            use_bias=layer.use_bias,
            name=layer.name,
        )

    twin = tf.keras.models.clone_model(model, clone_function=as_float)
    _randomize(twin)
    return twin


def _convert_float(model) -> bytes:
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def _write_onnx(model, path: Path) -> None:
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((1, IMAGE_SIZE, IMAGE_SIZE, 3), tf.float32, name="image")]
    tf2onnx.convert.from_keras(
        model, signature, opset=17, inputs_as_nchw=["image"], output_path=str(path)
    )


def _mobilenet(*, int8: bool) -> bytes:
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(
        tf.keras.applications.MobileNetV2(weights=None)
    )
    if int8:
        rng = np.random.default_rng(0)
        shape = (1, IMAGE_SIZE, IMAGE_SIZE, 3)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [rng.normal(size=shape).astype(np.float32)] for _ in range(8)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()
