"""Losses about maps inside a training: the right maps, the right gradient, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder, build_backbone, projection_head
from s2bnn_tf.config import TeacherConfig, load_config
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.objectives import places_loss, regression_loss, signs_loss
from s2bnn_tf.training import SGD, Pretrainer, pretrain
from s2bnn_tf.training.places import pair_places

keras = tf.keras

WEIGHTS = {"distillation": 0.0, "regression": 1.0, "places": 2.0, "signs": 0.5}


def views(count: int = 6) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=(count, 8, 8, 3)), tf.float32)


def make(student: Encoder, teacher: Encoder, **options) -> Pretrainer:
    weights = {f"{name}_weight": weight for name, weight in WEIGHTS.items()}
    temperatures = {"temperature": 0.2, "teacher_temperature": 0.1}
    return Pretrainer(student=student, teacher=teacher, **weights, **temperatures, **options)


def map_before_pooling(network: keras.Model) -> keras.Model:
    return keras.Model(network.input, network.layers[-1].input)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_minimizes_the_losses_of_both_maps(make_encoder, parts):
    """Computed from the layer before the pooling of each network, as its first part sees it."""
    student, teacher = make_encoder(0), make_encoder(2)
    pretrainer = make(student, teacher, accumulation_steps=parts)
    before = [variable.numpy() for variable in student.trainable_variables]
    picture, expected = views(), {"regression": [], "places": [], "signs": []}
    for part in tf.split(picture, parts):
        ours = tf.reshape(map_before_pooling(student.backbone)(part, training=True), (-1, 16, 12))
        theirs = tf.reshape(map_before_pooling(teacher.backbone)(part), (-1, 16, 12))
        embedded = student.project(tf.reduce_mean(ours, axis=1), training=True)
        expected["regression"].append(regression_loss(embedded, teacher(part)))
        expected["places"].append(places_loss(ours, theirs, 0.2, 0.1))
        projected = theirs @ pretrainer.places.projection
        expected["signs"].append(signs_loss(ours, projected))
    pretrainer.compile(optimizer=SGD(0.1))
    history = pretrainer.fit(tf.data.Dataset.from_tensors((picture,)), verbose=0).history
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], [np.mean(values)], rtol=1e-4, err_msg=name)
    total = sum(WEIGHTS[name] * history[name][0] for name in expected)
    np.testing.assert_allclose(history["loss"], [total], rtol=1e-4)
    for old, new in zip(before, student.trainable_variables, strict=True):
        assert not np.array_equal(old, new.numpy())


def test_the_deepest_map_in_common_is_compared():
    """A ResNet's last map has half as many rows as the student's; the one before it fits."""
    student = build_backbone("reactnet", (32, 32, 3), stem="small", width=1 / 8)
    teacher = build_backbone("resnet18", (32, 32, 3), stem="medium", width=1 / 8)
    pair = pair_places(Encoder(student, projection_head(128, 64)), Encoder(teacher))
    assert pair.student.shape == (16, 128) and pair.teacher.shape == (16, 32)
    assert pair.projection.shape == (32, 128)
    rows = pair.teacher(tf.zeros((2, 32, 32, 3)))
    assert rows.shape == (2, pair.teacher.width)
    embedding, places = pair.teacher.split(rows)
    assert embedding.shape == (2, 64) and places.shape == (2, 16, 32)


def test_the_map_of_a_reversed_image_is_turned_back():
    """A network that reverses its image puts out the places in reverse order."""
    plain, turning = (
        build_backbone("reactnet", (32, 32, 3), stem="small", width=1 / 8, reverse_input=reverse)
        for reverse in (False, True)
    )
    turning.set_weights(plain.get_weights())
    pair = pair_places(Encoder(turning), Encoder(plain))
    pictures = tf.random.stateless_normal((2, 32, 32, 3), seed=(0, 1))
    # Reversed twice, it sees what the other one sees, whose map therefore lies the other way.
    reversed_places, places = (
        network.split(network(seen))[1].numpy()
        for network, seen in ((pair.student, pictures[:, ::-1, ::-1]), (pair.teacher, pictures))
    )
    assert np.ptp(places) > 0.1
    np.testing.assert_allclose(reversed_places, places[:, ::-1], rtol=1e-4, atol=1e-5)


def test_a_recipe_trains_with_them(contrast, change, step1, tmp_path, metrics):
    config = change(
        contrast,
        epochs=1,
        teacher=TeacherConfig(weights=str(step1.path), center=True),
        objective={
            "contrastive_weight": 0.0,
            "similarity_weight": 1.0,
            "places_weight": 1.0,
            "signs_weight": 1.0,
        },
    )
    (row,) = metrics(pretrain(config, tmp_path / "run"))
    assert {"similarity", "places", "signs"} <= row.keys() and np.isfinite(row["loss"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["objective.regression_weight=0"], "trains no head; expected"),
        (["teacher.cache=true"], "the teacher has to see"),
        (["objective.cross_views=true"], "the teacher has to see"),
    ],
)
def test_what_cannot_be_is_refused(changes, words):
    given = ["objective.places_weight=1", *changes]
    with pytest.raises(ConfigError, match=words):
        load_config("configs/fashion_mnist/regression_step1.yaml", given)


def test_the_head_for_features_stays_with_maps_beside_it():
    given = ["objective.signs_weight=0.1", "student.head=null"]
    config = load_config("configs/fashion_mnist/regression_step1.yaml", given)
    assert config.student.head == "linear bn relu linear bn relu linear"


def test_networks_without_a_map_in_common_are_refused(make_encoder):
    image = keras.Input((8, 8, 3))
    flat = Encoder(keras.Model(image, keras.layers.Dense(8)(keras.layers.Flatten()(image))))
    with pytest.raises(ConfigError, match="stride 2 and the teacher no maps; set both to 0"):
        pair_places(make_encoder(0), flat)
