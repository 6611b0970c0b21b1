"""A student that begins as a `.tflite` has the features of the file, and can be trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder, build_backbone
from s2bnn_tf.config import (
    Config,
    DataConfig,
    MonitorConfig,
    ObjectiveConfig,
    OptimizerConfig,
    StudentConfig,
)
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import UserError
from s2bnn_tf.export import convert_model, deployment_model
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.runs import copy_tflite, load_encoder, settle_statistics
from s2bnn_tf.tflite import OUTPUT_NAMES, TFLiteEncoder
from s2bnn_tf.training import build_pretrainer, pretrain

keras = tf.keras

DATA = Path(__file__).parents[1] / "compat" / "data" / "0.1.0"
SIZE, WIDTH = 32, 1 / 32


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    shape = (24, SIZE, SIZE, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def reactnet(size: int = SIZE, channels: int = 3, **options):
    options = {"stem": "small", "width": WIDTH, **options}
    return build_backbone("reactnet", (size, size, channels), **options)


def agreement(ours, theirs) -> float:
    """The share of the pictures with the same features; a sign at its threshold may flip."""
    errors = np.abs(np.asarray(ours) - theirs).max(axis=1)
    return float(np.mean(errors < 1e-4 * np.abs(theirs).max()))


def changes_in_training(network, views) -> list[float]:
    """How far each normalization's output is another one in training, of its largest number.

    Each has the input that it has outside of training: further on, a sign at its threshold may flip
    and move the statistics of a whole batch.
    """
    norms = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    inputs = keras.Model(network.input, [norm.input for norm in norms])(views)
    changes = []
    for norm, values in zip(norms, inputs, strict=True):
        weights = norm.get_weights()
        outside, inside = (np.asarray(norm(values, training=mode)) for mode in (False, True))
        norm.set_weights(weights)  # training has moved its averages
        changes.append(float(np.abs(inside - outside).max() / np.abs(outside).max()))
    return changes


@pytest.mark.parametrize("name", ["student", "classifier"])
@pytest.mark.parametrize("binary", [False, True])
def test_the_features_are_those_of_the_file(name, binary, pictures):
    """For latent weights that are real as well: all of one channel are as large."""
    network = reactnet(binarize_weights=binary)
    copy_tflite(DATA / f"{name}.tflite", network)
    theirs = TFLiteEncoder(DATA / "student.tflite", "lce").features(pictures)
    views = normalize(pictures)
    assert agreement(network(views), theirs) >= 0.9
    assert max(changes_in_training(network, views)) > 1
    settle_statistics(network, views)
    assert agreement(network(views), theirs) >= 0.9
    # In training, the statistics of the batch count: now they are what each layer expects.
    assert max(changes_in_training(network, views)) < 1e-4
    settle_statistics(network, views[:12])  # again, by other pictures
    assert agreement(network(views), theirs) >= 0.9


def as_trained(name: str, size: int = SIZE, channels: int = 3, **options) -> keras.Model:
    """A network whose every channel has statistics, a slope, a threshold, a share of its own."""
    keras.utils.set_random_seed(0)
    network, rng = build_backbone(name, (size, size, channels), **options), np.random.default_rng(0)
    for weight in network.weights:
        kind = weight.name.split("/")[-1].split(":")[0]
        if kind in ("gamma", "moving_variance", "alpha", "slope", "share"):
            weight.assign(rng.uniform(0.1, 0.9, weight.shape))
        elif kind in ("beta", "bias", "moving_mean", "shift_in", "shift_out"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
        if kind == "gamma":
            weight.assign(weight * rng.choice([1, 1, -1], weight.shape))
    for layer in network.layers:
        layer.momentum = 0.0  # of normalizations: the next batch's statistics become theirs
    network(rng.normal(0, 1, (8, size, size, channels)).astype(np.float32), training=True)
    return network


def convert(network: keras.Model, path: Path, head: str = "none", **options) -> Path:
    deployed = deployment_model(Encoder(network), network.input_shape[1], head, **options)
    path.write_bytes(convert_model(deployed, output_name=OUTPUT_NAMES[head]))
    return path


OTHERS = ("quicknet_small", "bnext")


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> dict[str, tuple[keras.Model, Path]]:
    """One network of each kind, and the file that it became."""
    folder, found = tmp_path_factory.mktemp("files"), {}
    for name in OTHERS:
        network = as_trained(name, stem="small", width=1 / 8)
        found[name] = network, convert(network, folder / f"{name}.tflite")
    return found


def compare_layers(original: keras.Model, rebuilt: keras.Model, views) -> None:
    """Compare each layer of two networks by itself, for the input that the first one gives it.

    A convolution without bias is compared with the normalization behind it: the two may share out
    their scale in another way.
    """
    outputs = keras.Model(original.input, [layer.output for layer in original.layers])(views)
    given = {x.name: value for x, value in zip(original.layers, outputs, strict=True)}
    for layer in rebuilt.layers[1:]:
        sources = tf.nest.flatten(layer.inbound_nodes[0].inbound_layers)
        if isinstance(layer, BinaryConv2D):
            theirs = original.get_layer(layer.name).kernel
            np.testing.assert_array_equal(layer.kernel.numpy() < 0, theirs.numpy() < 0)
        if isinstance(layer, keras.layers.BatchNormalization) and not has_bias(sources[0]):
            (before,) = sources
            found = layer(before(given[before.inbound_nodes[0].inbound_layers.name]))
        elif has_bias(layer) or not is_normalized(layer):
            values = [given[source.name] for source in sources]
            found = layer(values if len(values) > 1 else values[0])
        else:
            continue
        expected = given[layer.name].numpy()
        error, largest = (
            np.abs(values).reshape(-1, expected.shape[-1]).max(axis=0)  # of each channel
            for values in (np.asarray(found) - expected, expected)
        )
        assert (error <= 2e-5 * largest + 1e-6 * largest.max()).all(), layer.name


def has_bias(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "use_bias", True)  # another layer than a convolution lacks none


def is_normalized(layer: keras.layers.Layer) -> bool:
    readers = [node.outbound_layer for node in layer.outbound_nodes]
    return any(isinstance(reader, keras.layers.BatchNormalization) for reader in readers)


@pytest.mark.parametrize(
    ("name", "binary"), [("quicknet_small", False), ("quicknet_small", True), ("bnext", True)]
)
def test_each_layer_is_that_of_the_network_that_was_converted(name, binary, converted, pictures):
    original, path = converted[name]
    options = {"stem": "small", "width": 1 / 8, "binarize_weights": binary}
    rebuilt, views = build_backbone(name, (SIZE, SIZE, 3), **options), normalize(pictures[:4])
    copy_tflite(path, rebuilt)
    compare_layers(original, rebuilt, views)


@pytest.mark.parametrize("name", ["quicknet_small", pytest.param("bnext", marks=pytest.mark.slow)])
def test_statistics_settle_behind_gates_and_without_scales(name, converted, pictures):
    """Also those of a normalization that has no scale and no shift of its own."""
    path = converted[name][1]
    rebuilt = build_backbone(name, (SIZE, SIZE, 3), stem="small", width=1 / 8)
    views = normalize(pictures)
    copy_tflite(path, rebuilt)
    theirs = TFLiteEncoder(path, "lce").features(pictures)
    assert agreement(rebuilt(views), theirs) >= 0.9
    assert max(changes_in_training(rebuilt, views)) > 1
    settle_statistics(rebuilt, views)
    assert agreement(rebuilt(views), theirs) >= 0.9
    # The variance of a batch has an error of 1e-4.
    assert max(changes_in_training(rebuilt, views)) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "stem", "width"),
    [
        ("quicknet_small", 64, "medium", 1 / 4),
        ("quicknet", 64, "imagenet", 3 / 8),
        ("quicknet_large", 32, "small", 1 / 8),
        ("bnext", 32, "small", 1 / 32),
        ("bnext", 64, "medium", 1 / 16),
        ("bnext", 128, "imagenet", 3 / 32),
        ("reactnet", 64, "medium", 1 / 16),
    ],
)
def test_every_stem_and_width(name, size, stem, width, tmp_path):
    original = as_trained(name, size, stem=stem, width=width)
    path = convert(original, tmp_path / "a.tflite")
    rebuilt = build_backbone(name, (size, size, 3), stem=stem, width=width)
    copy_tflite(path, rebuilt)
    pictures = np.random.default_rng(0).uniform(0, 255, (8, size, size, 3)).astype(np.float32)
    if name == "reactnet":  # its shifts may be in other layers
        assert agreement(rebuilt(pictures / 255), original(pictures / 255).numpy()) >= 0.8
    else:
        compare_layers(original, rebuilt, normalize(pictures[:2]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("none", {"fold": False}),
        ("features+map", {}),  # the map keeps a shift from being folded
        ("map", {"map_stride": 8}),
    ],
)
@pytest.mark.parametrize("reverse_input", [False, True])
def test_shifts_that_were_not_folded_and_maps(head, options, reverse_input, tmp_path, pictures):
    original = as_trained("reactnet", stem="small", width=WIDTH, reverse_input=reverse_input)
    path = convert(original, tmp_path / "a.tflite", head, **options)
    rebuilt, views = reactnet(reverse_input=reverse_input), normalize(pictures)
    copy_tflite(path, rebuilt)
    assert agreement(rebuilt(views), original(views).numpy()) >= 0.9


@pytest.mark.slow
def test_a_map_from_the_middle_lacks_layers(tmp_path):
    path = convert(as_trained("reactnet", stem="small", width=WIDTH), tmp_path / "a.tflite", "map")
    with pytest.raises(UserError, match="has only .* of the 26 binary .*convert with --head none"):
        copy_tflite(path, reactnet())


def recipe(**student) -> Config:
    return Config(
        steps=2,
        data=DataConfig(source="digits", image_size=SIZE, batch_size=64),
        student=StudentConfig(
            backbone="reactnet", stem="small", width=WIDTH, embedding_dim=8, **student
        ),
        objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0, queue_size=400),
        optimizer=OptimizerConfig(learning_rate=1e-6),
        monitor=MonitorConfig(knn_every=0),
        loggers=(),
    )


def test_training_begins_there(tmp_path):
    """Two steps that hardly move a weight leave the signs and the slopes of the file."""
    run = pretrain(recipe(init_from=str(DATA / "student.tflite")), tmp_path / "run")
    trained, begun = load_encoder(run.path).backbone, reactnet()
    copy_tflite(DATA / "student.tflite", begun)
    for ours, theirs in zip(trained.layers, begun.layers, strict=True):
        for mine, yours in zip(ours.trainable_weights, theirs.trainable_weights, strict=True):
            if "kernel" in mine.name and "conv" in ours.name:
                np.testing.assert_array_equal(mine.numpy() < 0, yours.numpy() < 0)
            elif "slope" in mine.name:
                np.testing.assert_allclose(mine, yours, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 1 / 16}, "student.width 0.03125, this recipe has 0.0625; .*student.width=0.03"),
        ({"stem": "imagenet", "size": 128}, "student.stem small, this recipe has imagenet"),
        ({"reverse_input": True}, "student.reverse_input False"),
        ({"channels": 1}, "data.channels 3, this recipe has 1"),
    ],
)
def test_another_network_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        copy_tflite(DATA / "student.tflite", reactnet(**options))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"no model")
    with pytest.raises(UserError, match="not a whole TensorFlow Lite model"):
        build_pretrainer(recipe(init_from=str(tmp_path / "a.tflite")), steps_per_epoch=5)
    with pytest.raises(UserError, match="Cannot read"):
        copy_tflite(tmp_path / "absent.tflite", reactnet())
    with pytest.raises(UserError, match="resnet18 cannot begin as one, because it has no binary"):
        copy_tflite(DATA / "student.tflite", build_backbone("resnet18", (32, 32, 3), width=1 / 8))


def test_files_of_another_backbone_or_tool_are_refused(converted, tmp_path):
    """A refused file changes nothing."""
    network, path = converted["quicknet_small"]
    before = network.get_weights()
    with pytest.raises(UserError, match="student.backbone reactnet, this .* quicknet_small; make"):
        copy_tflite(DATA / "student.tflite", network)
    with pytest.raises(UserError, match="student.backbone quicknet_small, .*student.backbone="):
        copy_tflite(path, reactnet())
    wider = build_backbone("quicknet_small", (32, 32, 3), stem="small", width=1 / 4)
    with pytest.raises(UserError, match="student.width 0.125, this recipe has 0.25; make"):
        copy_tflite(path, wider)
    # Without the names of the layers, and without the normalization of the picture.
    unnamed = path.read_bytes().replace(b"deployed/", b"somebody/")
    (tmp_path / "unnamed.tflite").write_bytes(unnamed)
    with pytest.raises(UserError, match="is not what `s2bnn convert` makes of a quicknet with"):
        other = build_backbone("quicknet", (32, 32, 3), stem="small", width=1 / 8)
        copy_tflite(tmp_path / "unnamed.tflite", other)
    image = keras.Input((SIZE, SIZE, 3), 1, name="image")
    bare = convert_model(keras.Model(image, network(image)), output_name="features")
    (tmp_path / "bare.tflite").write_bytes(bare)
    with pytest.raises(UserError, match="is not what `s2bnn convert` makes"):
        copy_tflite(tmp_path / "bare.tflite", network)
    for ours, theirs in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
