"""A `.keras` file brings its network and nothing else: no code runs, no memory is taken at will."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.environment import keras_module
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.layers import BinaryConv2D, ChannelBias, RPReLU
from s2bnn_tf.teachers import load_teacher

pytestmark = pytest.mark.both_sets

keras = tf.keras

SIZE = 16
SHAPE = (SIZE, SIZE, 3)


def load(path: Path, size: int = SIZE) -> Encoder:
    return load_teacher(TeacherConfig(weights=str(path)), image_size=size)


def small_model(*layers: Any) -> keras.Model:
    image = keras.Input(SHAPE, name="image")
    x = keras.layers.Conv2D(4, 3, name="conv")(image)
    for layer in layers:
        x = layer(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D(name="pool")(x))


def parts_of(model: keras.Model, folder: Path) -> dict[str, bytes]:
    """The members of the zip file that Keras writes, by name."""
    path = folder / "honest.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path: Path, parts: dict[str, bytes], **changed: Any) -> None:
    """Write a `.keras` file with changed parts: `config=...` replaces `config.json`."""
    parts = parts | {f"{name}.json": json.dumps(value).encode() for name, value in changed.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def layer_of(config: dict[str, Any], name: str) -> dict[str, Any]:
    return next(layer for layer in config["config"]["layers"] if layer["name"] == name)


# --- Files that run code in Keras 2.15, each in its own way: they create the file `marker`.


def write_lambda(marker: Path) -> keras.layers.Layer:
    """A Lambda layer that keeps Python bytecode, as Keras saves it."""
    code = f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]"
    return keras.layers.Lambda(eval(code), name="lambda")  # noqa: S307


def save_hdf5(path: Path, model: keras.Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras says that the format is old
        model.save(path.with_suffix(".h5"))
    path.with_suffix(".h5").rename(path)


def hdf5(path: Path, marker: Path) -> None:
    save_hdf5(path, small_model(write_lambda(marker)))


def hdf5_behind_a_link(path: Path, marker: Path) -> None:
    hdf5(path.with_name("elsewhere"), marker)
    path.symlink_to("elsewhere")


def hdf5_that_begins_like_a_zip_file(path: Path, marker: Path) -> None:
    hdf5(path.with_name("elsewhere"), marker)
    with (
        h5py.File(path.with_name("elsewhere")) as old,
        h5py.File(path, "w", userblock_size=512) as new,
    ):
        for name in old:
            old.copy(name, new)
        for name, value in old.attrs.items():
            new.attrs[name] = value
    with path.open("r+b") as file:
        file.write(b"PK\x03\x04")


def command(marker: Path) -> dict[str, Any]:
    """A Lambda layer that calls a function of any module."""
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "name": "evil",
            "function": {
                "module": "os",
                "class_name": "function",
                "config": "system",
                "registered_name": "system",
            },
            "function_type": "function",
            "output_shape": None,
            "output_shape_type": "raw",
        },
        "registered_name": None,
        "name": "evil",
        "inbound_nodes": [[["_CONSTANT_VALUE", -1, f"touch {marker}", {}]]],
    }


def zip_with_a_command(path: Path, marker: Path) -> None:
    parts = parts_of(small_model(), path.parent)
    config = json.loads(parts["config.json"])
    config["config"]["layers"].append(command(marker))
    write_zip(path, parts, config=config)


def zip_with_a_command_in_an_inner_model(path: Path, marker: Path) -> None:
    inner = keras.Sequential([keras.Input((14, 14, 4)), keras.layers.ReLU()], name="inner")
    parts = parts_of(small_model(inner), path.parent)
    config = json.loads(parts["config.json"])
    functional = copy.deepcopy(config)
    functional["config"]["layers"].append(command(marker))
    functional |= {"name": "hidden", "inbound_nodes": []}
    config["config"]["layers"].append(functional)
    write_zip(path, parts, config=config)


def zip_with_an_operation_that_writes(path: Path, marker: Path) -> None:
    parts = parts_of(small_model(), path.parent)
    config = json.loads(parts["config.json"])
    write = {
        "module": "keras.src.layers.core.tf_op_layer",
        "class_name": "TFOpLambda",
        "config": {"name": "evil", "function": "io.write_file"},
        "registered_name": "TFOpLambda",
        "name": "evil",
        "inbound_nodes": [["_CONSTANT_VALUE", -1, str(marker), {"contents": ""}]],
    }
    config["config"]["layers"].append(write)
    write_zip(path, parts, config=config)


class Touch:
    """Unpickled, it creates a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def zip_with_pickled_weights(path: Path, marker: Path) -> None:
    parts = parts_of(small_model(), path.parent)
    del parts["model.weights.h5"]
    array = np.empty((), object)
    array[()] = Touch(marker)
    np.savez(path.with_name("model.weights.npz"), __root__=array)
    write_zip(path, parts | {"model.weights.npz": path.with_name("model.weights.npz").read_bytes()})


class Writer(keras.layers.Layer):
    """A layer whose saved graph writes a file whenever it runs."""

    def __init__(self, marker: Path, **kwargs: Any):
        super().__init__(**kwargs)
        self.marker = str(marker)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.io.write_file(self.marker, "")]):
            return tf.identity(inputs)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()  # too little to build it again: Keras restores the graph


def saved_model(path: Path, marker: Path) -> None:
    small_model(Writer(marker)).save(path.with_name("any"), save_format="tf")
    path.with_name("any").rename(path)


def saved_model_behind_a_link(path: Path, marker: Path) -> None:
    saved_model(path.with_name("elsewhere"), marker)
    path.symlink_to("elsewhere")


def saved_model_with_a_lambda(path: Path, marker: Path) -> None:
    small_model(write_lambda(marker)).save(path, save_format="tf")


ATTACKS = [
    hdf5,
    hdf5_behind_a_link,
    hdf5_that_begins_like_a_zip_file,
    zip_with_a_command,
    zip_with_a_command_in_an_inner_model,
    zip_with_an_operation_that_writes,
    zip_with_pickled_weights,
    saved_model,
    saved_model_behind_a_link,
    saved_model_with_a_lambda,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_nothing_in_a_file_is_executed(attack: Callable[[Path, Path], None], tmp_path):
    path, marker = tmp_path / "own.keras", tmp_path / "executed"
    attack(path, marker)
    marker.unlink(missing_ok=True)  # making some of the files runs their code, too
    refused = None
    with contextlib.suppress(Exception):
        try:
            load(path)(np.zeros((1, *SHAPE), np.float32))
        except CheckpointError as error:
            refused = str(error)
    assert not marker.exists()
    assert refused is not None
    assert refused.startswith(f"teacher.weights: cannot load {path}")
    assert "\n" not in refused


# --- What a configuration may not name.


def with_layer(**changed: Any) -> Callable[[dict[str, Any]], None]:
    """Change the description of the convolution."""
    return lambda config: layer_of(config, "conv").update(changed)


def with_option(**changed: Any) -> Callable[[dict[str, Any]], None]:
    """Change the arguments of the convolution."""
    return lambda config: layer_of(config, "conv")["config"].update(changed)


def function(module: str, name: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def operation(symbol: Any, *node: Any, **keywords: Any) -> Callable[[dict[str, Any]], None]:
    return with_layer(
        module="keras.src.layers.core.tf_op_layer",
        class_name="TFOpLambda",
        config={"name": "conv", "function": symbol},
        registered_name="TFOpLambda",
        inbound_nodes=[[*(node or ("image", 0, 0)), keywords]],
    )


def ring(config: dict[str, Any]) -> None:
    layer_of(config, "conv")["inbound_nodes"] = [[["pool", 0, 0, {}]]]


def deep(config: dict[str, Any]) -> None:
    inside: list[Any] = []
    for _ in range(200):
        inside = [inside]
    layer_of(config, "conv")["config"]["dilation_rate"] = inside


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "another module": (with_layer(module="os"), "it uses Conv2D of os"),
    "a function of Keras": (
        with_layer(module="keras.utils", class_name="get_file"),
        "it uses get_file of keras.utils",
    ),
    "bytecode in a wrapper of cells": (
        with_layer(class_name="ResidualWrapper"),
        "it uses ResidualWrapper",
    ),
    "a layer that reads a file": (
        with_layer(class_name="StringLookup", config={"vocabulary": "/etc/passwd"}),
        "it uses StringLookup",
    ),
    "an operation of the graph": (
        with_layer(class_name="TensorFlowOpLayer"),
        "it uses TensorFlowOpLayer",
    ),
    "a method": (with_layer(class_name="InstanceMethod"), "it uses InstanceMethod"),
    "a module behind a registered name": (
        with_layer(class_name="QuantConv2D", registered_name="system", module="os"),
        "it uses QuantConv2D of os",
    ),
    "what is registered as no layer": (
        with_layer(class_name="Bop", registered_name="Bop", module=None),
        "it uses Bop, which is registered, but not as a layer",
    ),
    "what is not registered": (
        with_layer(class_name="Own", registered_name="some>Own", module=None),
        "it uses Own of None",
    ),
    "a function as activation": (
        with_option(activation=function("os", "system")),
        "it holds an object without a name or a configuration",
    ),
    "another activation": (with_option(activation="get"), "it names get as activation"),
    "another initializer": (
        with_option(kernel_initializer="deserialize"),
        "it names deserialize as kernel_initializer",
    ),
    "another regularizer": (
        with_option(bias_regularizer={"class_name": "__lambda__", "config": {"value": "x"}}),
        "it uses __lambda__",
    ),
    "tf.numpy_function": (operation("numpy_function"), "it calls tf.numpy_function"),
    "tf.py_function": (operation("py_function"), "it calls tf.py_function"),
    "tf.io.read_file": (operation("io.read_file"), "it calls tf.io.read_file"),
    "a name for the terminal": (
        with_layer(class_name="\x1b[2J" + "x" * 1000),
        r"it uses \?\[2Jx{300,400}\.$",
    ),
    "a list of symbols": (operation(["math.add"]), "unhashable type"),
    "constants alone": (
        operation("math.add", "_CONSTANT_VALUE", -1, 2.0, y=3.0),
        "it applies TFOpLambda to a constant",
    ),
    "a tensor that is serialized": (
        operation("math.add", y={"_TYPE": "COMPOSITE"}),
        "it holds a tensor that is not a plain array",
    ),
    "layers in a ring": (ring, "its layers wait for each other"),
    "deep nesting": (deep, "its config.json is nested more than 100 levels"),
    "a giant layer": (
        with_option(filters=2**40),
        "its layers have more weights than it holds",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_configuration_may_name_layers_and_arithmetic_only(name, tmp_path):
    change, reason = REFUSED[name]
    parts = parts_of(small_model(), tmp_path)
    config = json.loads(parts["config.json"])
    change(config)
    write_zip(tmp_path / "own.keras", parts, config=config)
    with pytest.raises(CheckpointError, match=rf"^teacher.weights: cannot load .*: ({reason})"):
        load(tmp_path / "own.keras")


def test_a_configuration_that_is_nested_beyond_the_parser(tmp_path):
    parts = parts_of(small_model(), tmp_path)
    parts["config.json"] = b'{"config": ' + b"[" * 10**6
    write_zip(tmp_path / "own.keras", parts)
    with pytest.raises(CheckpointError, match="cannot load .*: maximum recursion depth exceeded"):
        load(tmp_path / "own.keras")


def test_a_lambda_layer_that_was_registered_is_refused(tmp_path, monkeypatch):
    kind = type("Mine", (keras.layers.Lambda,), {})
    monkeypatch.setitem(keras.saving.get_custom_objects(), "Mine", kind)
    parts = parts_of(small_model(), tmp_path)
    config = json.loads(parts["config.json"])
    layer_of(config, "conv").update(class_name="Mine", registered_name="Mine", module=None)
    write_zip(tmp_path / "own.keras", parts, config=config)
    with pytest.raises(CheckpointError, match="it uses Mine, which is a Lambda layer"):
        load(tmp_path / "own.keras")


@pytest.mark.parametrize("missing", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_zip_file_that_is_no_keras_file(missing, tmp_path):
    parts = parts_of(small_model(), tmp_path)
    del parts[missing]
    write_zip(tmp_path / "own.keras", parts)
    with pytest.raises(CheckpointError, match=f"cannot load .*: it has no {missing}"):
        load(tmp_path / "own.keras")


@pytest.mark.parametrize("version", ["3.0.0", "3.15.1", "2.22.0"])
def test_a_file_of_a_later_keras(version, tmp_path):
    """Checked by hand with Keras 3.15.1 and tf_keras 2.21: what the sentence recommends works."""
    parts = parts_of(small_model(), tmp_path)
    write_zip(tmp_path / "own.keras", parts, metadata={"keras_version": version})
    here = ".".join(keras_module("src").__version__.split(".")[:2])
    words = f"saved by Keras {version}, and Keras {here} runs here; build the same"
    with pytest.raises(CheckpointError, match=words):
        load(tmp_path / "own.keras")


# --- Memory.


def weights_with(change: Callable[[h5py.File], None], folder: Path) -> bytes:
    """The weights of the small model, changed."""
    path = folder / "changed.h5"
    path.write_bytes(parts_of(small_model(), folder)["model.weights.h5"])
    with h5py.File(path, "r+") as file:
        change(file["layers/conv2d/vars"])
    return path.read_bytes()


def declare_a_giant(group: h5py.Group) -> None:
    del group["0"]
    group.create_dataset("0", (2**20, 2**20), "f4", chunks=(1024, 1024))


def refer_to_another_file(group: h5py.Group) -> None:
    del group["0"]
    group["0"] = h5py.ExternalLink("/etc/other.h5", "/data")


def keep_in_another_file(group: h5py.Group) -> None:
    del group["0"]
    group.create_dataset("0", (3, 3, 3, 4), "f4", external=[("/etc/hostname", 0, 432)])


def hold_texts(group: h5py.Group) -> None:
    del group["0"]
    group["0"] = np.array([b"text"])


WEIGHTS = {
    declare_a_giant: "the sum of its arrays unpacks to",
    refer_to_another_file: "0 is a link to another place",
    keep_in_another_file: "0 is kept in another file",
    hold_texts: "0 holds no numbers",
}


@pytest.mark.parametrize("change", WEIGHTS, ids=lambda change: change.__name__)
def test_weights_are_numbers_in_the_file_itself(change, tmp_path):
    parts = parts_of(small_model(), tmp_path)
    parts["model.weights.h5"] = weights_with(change, tmp_path)
    write_zip(tmp_path / "own.keras", parts)
    with pytest.raises(CheckpointError, match=WEIGHTS[change]):
        load(tmp_path / "own.keras")


@pytest.mark.parametrize("change", WEIGHTS, ids=lambda change: change.__name__)
def test_weights_for_keras_applications_are_numbers_in_the_file_itself(change, tmp_path):
    path = tmp_path / "own.weights.h5"
    path.write_bytes(weights_with(change, tmp_path))
    message = f"cannot load {path} for MobileNet: {WEIGHTS[change]}"
    with pytest.raises(CheckpointError, match=message):
        load_teacher(TeacherConfig(backbone="MobileNet", weights=str(path)), image_size=32)


def test_weights_for_keras_applications_that_keras_would_read_otherwise(tmp_path):
    path = tmp_path / "own.keras"
    small_model().save(path)
    with pytest.raises(CheckpointError, match="for MobileNet: its name must end in .h5"):
        load_teacher(TeacherConfig(backbone="MobileNet", weights=str(path)), image_size=32)


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_part_that_unpacks_to_far_more_than_it_has(name, tmp_path):
    parts = parts_of(small_model(), tmp_path)
    parts[name] += b" " * (65 * 2**20)
    with zipfile.ZipFile(tmp_path / "own.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    with pytest.raises(CheckpointError, match=f"{name} (is larger than|unpacks to) [0-9,]+ bytes"):
        load(tmp_path / "own.keras")


# --- What must load.


def assert_round_trip(model: keras.Model, path: Path) -> None:
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.uniform(0, 0.1, w.shape) for w in model.get_weights()])
    model.save(path)
    teacher = load(path)
    for before, after in zip(model.get_weights(), teacher.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    images = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(teacher.backbone(images), model(images), rtol=1e-4, atol=1e-5)


def test_a_model_with_operations_and_layers_of_many_kinds(tmp_path):
    image = keras.Input(SHAPE)
    x = keras.layers.Conv2D(8, 3, activation="gelu", kernel_regularizer="l2")(image * 2.0 - 1.0)
    x = 1.0 - tf.nn.relu6(x) / 3.0 + tf.sqrt(tf.abs(x))
    x = keras.layers.SeparableConv2D(8, 3, activation=keras.layers.LeakyReLU())(x[:, 1:-1, :, :])
    x = keras.layers.Normalization(mean=[0.1] * 8, variance=[2.0] * 8)(x)
    x = tf.concat([x, keras.layers.Dropout(0.5)(x)], axis=-1)
    tokens = keras.layers.Reshape((-1, 16))(x)
    tokens += keras.layers.MultiHeadAttention(2, 8)(tokens, tokens)
    tokens = keras.layers.LayerNormalization()(tokens)
    inner = keras.Sequential([keras.Input((16,)), keras.layers.Dense(5, "relu")])
    inner.compile("adam", "mse")  # a part that was trained by itself, and is not compiled here
    assert_round_trip(keras.Model(image, inner(tf.reduce_mean(tokens, 1))), tmp_path / "own.keras")


def test_a_model_with_layers_of_ours_and_of_larq(tmp_path):
    layers = [
        BinaryConv2D(6, 3),
        ChannelBias(),
        RPReLU(),
        lq.layers.QuantConv2D(
            6,
            3,
            input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
        ),
    ]
    assert_round_trip(small_model(*layers), tmp_path / "own.keras")


def test_a_model_in_half_precision(tmp_path):
    layer = keras.layers.Conv2D(6, 3, dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    small_model(layer, keras.layers.Activation("linear", dtype="float32")).save(
        tmp_path / "own.keras"
    )
    load(tmp_path / "own.keras")


def test_an_encoder_of_ours_as_a_keras_file(tmp_path):
    keras.Sequential([keras.Input(SHAPE), Encoder(small_model())]).save(tmp_path / "own.keras")
    load(tmp_path / "own.keras")


FAMILIES = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "NASNetMobile",
    "RegNetX002",
    "RegNetY002",
    "ResNet50",
    "ResNet50V2",
    "ResNetRS50",
    "VGG16",
    "Xception",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_keras_applications_loads(name, tmp_path):
    network = getattr(keras.applications, name)(
        include_top=False, pooling="avg", weights=None, input_shape=(224, 224, 3)
    )
    network.save(tmp_path / "own.keras")
    teacher = load(tmp_path / "own.keras", 224)
    for before, after in zip(network.get_weights(), teacher.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
