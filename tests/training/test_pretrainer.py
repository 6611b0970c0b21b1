"""Only what should move, moves: one step of each recipe against a step written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.data import mix_images
from s2bnn_tf.objectives import KeyQueue
from s2bnn_tf.training import SGD, Pretrainer

pytestmark = pytest.mark.both_sets

keras = tf.keras

RECIPES = {
    "contrast": {"contrastive": 1.0},
    "both": {"contrastive": 0.7, "distillation": 2.0},
    "distil": {"distillation": 1.0},
    "similarity": {"similarity": 1.0},
    "regression": {"distillation": 0.5, "regression": 1.5},
}
MOMENTUM, TEMPERATURE, TEACHERS, RATE, QUEUE = 0.9, 0.2, 0.1, 0.1, 10
BATCH = 6


def views(count: int, seed: int = 0) -> tuple[tf.Tensor, ...]:
    rng = np.random.default_rng(seed)
    return tuple(tf.constant(rng.normal(size=(BATCH, 8, 8, 3)), tf.float32) for _ in range(count))


@pytest.fixture(scope="module")
def encoders(make_encoder):
    """Networks that are built once; each pretrainer gets them with their first weights."""
    networks = [make_encoder(seed) for seed in range(3)]
    first = [network.get_weights() for network in networks]

    def reset(index: int) -> Encoder:
        networks[index].set_weights(first[index])
        return networks[index]

    return reset


def make_pretrainer(make_encoder, recipe: str, **options) -> Pretrainer:
    weights = {"distillation": 0.0, **RECIPES[recipe]}
    return Pretrainer(
        student=make_encoder(0),
        teacher=None if recipe == "contrast" else make_encoder(2),
        momentum_encoder=make_encoder(1) if "contrastive" in weights else None,
        queue=KeyQueue(QUEUE, 8) if {"contrastive", "similarity"} & weights.keys() else None,
        **{f"{name}_weight": weight for name, weight in weights.items()},
        temperature=TEMPERATURE,
        teacher_temperature=TEACHERS,
        momentum=MOMENTUM,
        **options,
    )


def fit(pretrainer: Pretrainer, batches: list[tuple[tf.Tensor, ...]], eager: bool):
    pretrainer.compile(optimizer=SGD(RATE), run_eagerly=eager)
    tensors = tuple(tf.stack(view) for view in zip(*batches, strict=True))
    dataset = tf.data.Dataset.from_tensor_slices(tensors)
    return pretrainer.fit(dataset, epochs=1, verbose=0).history


@pytest.fixture(scope="module")
def copy(make_encoder):
    """Copy an encoder; each role has one network, which is reused."""
    networks = {role: make_encoder(9) for role in ("student", "momentum_encoder", "teacher")}

    def copied(pretrainer: Pretrainer, role: str) -> Encoder:
        networks[role].set_weights(getattr(pretrainer, role).get_weights())
        return networks[role]

    return copied


def values(variables) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables]


def assert_close(ours, expected, atol=1e-5):
    for mine, theirs in zip(ours, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=atol)


def written_out(name: str, query, key, target, queue) -> tf.Tensor:
    """Compute one loss with TensorFlow's cross-entropies alone."""
    if name == "regression":
        return tf.reduce_mean(2.0 - 2.0 * tf.einsum("bd,bd->b", query, target))
    if name == "distillation":
        logits, labels = query / TEMPERATURE, tf.nn.softmax(target / TEACHERS)
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
    keys = tf.concat([target if key is None else key, queue], axis=0)
    # Each query sees only its own key from the batch.
    allowed = tf.concat([tf.eye(BATCH), tf.ones((BATCH, QUEUE))], axis=1)
    logits = query @ tf.transpose(keys) / TEMPERATURE + tf.math.log(allowed)
    if name == "contrastive":
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(range(BATCH), logits)
    else:
        theirs = target @ tf.transpose(keys) / TEACHERS + tf.math.log(allowed)
        shares = tf.where(allowed > 0, tf.nn.softmax(theirs), 0.0)
        logits = tf.where(allowed > 0, logits, -1e9)  # 0 * infinity is not 0
        losses = tf.nn.softmax_cross_entropy_with_logits(shares, logits)
    return tf.reduce_mean(losses)


def reference_step(pretrainer: Pretrainer, batch, copy) -> dict:
    """Return what one step of SGD should leave behind; the pretrainer is not touched."""
    student = copy(pretrainer, "student")
    result = {"keys": None}
    key = target = None
    before = None if pretrainer.queue is None else pretrainer.queue.keys.numpy()
    if pretrainer.momentum_encoder is not None:
        momentum_encoder = copy(pretrainer, "momentum_encoder")
        for theirs, ours in zip(
            momentum_encoder.trainable_variables, student.trainable_variables, strict=True
        ):
            theirs.assign(MOMENTUM * theirs.numpy() + (1 - MOMENTUM) * ours.numpy())
        key = momentum_encoder(batch[1], training=True)
        result.update(momentum_encoder=momentum_encoder, keys=key.numpy())
    if pretrainer.teacher is not None:
        target = copy(pretrainer, "teacher")(batch[0], training=False)
        if key is None and before is not None:
            result["keys"] = target.numpy()
    with tf.GradientTape() as tape:
        query = student(batch[0], training=True)
        losses = {
            name: written_out(name, query, key, target, before)
            for name in pretrainer.objective_weights
        }
        loss = sum(pretrainer.objective_weights[name] * losses[name] for name in losses)
    gradients = tape.gradient(loss, student.trainable_variables)
    for variable, gradient in zip(student.trainable_variables, gradients, strict=True):
        variable.assign_sub(RATE * gradient)
    squares = [float(np.sum(np.square(gradient))) for gradient in gradients]
    losses.update(loss=loss, gradient_norm=np.sqrt(sum(squares)))
    return {**result, "student": student, "losses": losses}


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "graph"])
@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_one_step_is_the_step_written_out(recipe, eager, encoders, copy):
    pretrainer = make_pretrainer(encoders, recipe)
    before = values(pretrainer.student.trainable_variables)
    first_keys = None if pretrainer.queue is None else pretrainer.queue.keys.numpy()
    frozen = None if pretrainer.teacher is None else values(pretrainer.teacher.variables)
    batch = views(pretrainer.views)
    expected = reference_step(pretrainer, batch, copy)
    history = fit(pretrainer, [batch], eager)

    # The student: every parameter has moved to where the gradient points; its statistics too.
    student = pretrainer.student
    assert_close(values(student.variables), values(expected["student"].variables))
    for old, new in zip(before, values(student.trainable_variables), strict=True):
        assert not np.array_equal(old, new)
    # Losses, each by its own name.
    assert history.keys() == expected["losses"].keys()
    for name, value in expected["losses"].items():
        np.testing.assert_allclose(history[name], [value], rtol=1e-4, err_msg=name)
    assert int(pretrainer.optimizer.iterations) == 1
    # The teacher: not one bit has changed, statistics included.
    if frozen is not None:
        for old, new in zip(frozen, values(pretrainer.teacher.variables), strict=True):
            np.testing.assert_array_equal(old, new)
    # The momentum encoder: parameters by the formula, statistics by its own forward pass.
    if pretrainer.momentum_encoder is not None:
        assert_close(
            values(pretrainer.momentum_encoder.variables),
            values(expected["momentum_encoder"].variables),
        )
    # The queue: new keys at its beginning, all others as they were.
    if pretrainer.queue is not None:
        np.testing.assert_allclose(pretrainer.queue.keys[:BATCH], expected["keys"], atol=1e-5)
        np.testing.assert_array_equal(pretrainer.queue.keys[BATCH:], first_keys[BATCH:])
        assert int(pretrainer.queue.position) == BATCH


def test_keys_wait_until_the_next_step(encoders, make_encoder, copy):
    """Each step contrasts against the queue that the steps before it have filled."""
    pretrainer = make_pretrainer(encoders, "both")
    chain = make_pretrainer(make_encoder, "both")
    batches = [views(2, seed) for seed in range(2)]
    expected_losses = []
    for batch in batches:
        step = reference_step(chain, batch, copy)
        expected_losses.append(float(step["losses"]["contrastive"]))
        chain.student.set_weights(step["student"].get_weights())
        chain.momentum_encoder.set_weights(step["momentum_encoder"].get_weights())
        chain.queue.enqueue(step["keys"])
    history = fit(pretrainer, batches, eager=False)
    np.testing.assert_allclose(history["contrastive"], [np.mean(expected_losses)], rtol=1e-3)
    np.testing.assert_allclose(pretrainer.queue.keys, chain.queue.keys, atol=1e-3)
    assert int(pretrainer.queue.position) == 2 * BATCH % QUEUE


def test_averaged_key_statistics_follow_the_student(encoders, copy):
    pretrainer = make_pretrainer(encoders, "contrast", key_statistics="averaged")
    momentum_encoder = copy(pretrainer, "momentum_encoder")
    for theirs, ours in zip(momentum_encoder.variables, pretrainer.student.variables, strict=True):
        theirs.assign(MOMENTUM * theirs.numpy() + (1 - MOMENTUM) * ours.numpy())
    batch = views(2)
    keys = momentum_encoder(batch[1], training=False)
    fit(pretrainer, [batch], eager=True)
    assert_close(values(pretrainer.momentum_encoder.variables), values(momentum_encoder.variables))
    np.testing.assert_allclose(pretrainer.queue.keys[:BATCH], keys, atol=1e-5)


def test_views_and_metrics_of_each_recipe(encoders):
    pretrainers = {name: make_pretrainer(encoders, name) for name in RECIPES}
    assert {n: p.views for n, p in pretrainers.items()} == {
        "contrast": 2,
        "both": 2,
        "distil": 1,
        "similarity": 1,
        "regression": 1,
    }
    names = {n: [m.name for m in p.metrics] for n, p in pretrainers.items()}
    assert names == {
        "contrast": ["loss", "contrastive", "gradient_norm"],
        "both": ["loss", "contrastive", "distillation", "gradient_norm"],
        "distil": ["loss", "distillation", "gradient_norm"],
        "similarity": ["loss", "similarity", "gradient_norm"],
        "regression": ["loss", "distillation", "regression", "gradient_norm"],
    }


def test_parts_that_do_not_go_together_are_refused(make_encoder):
    student = make_encoder(0)
    with pytest.raises(ValueError, match="teacher, a momentum encoder, or both"):
        Pretrainer(student=student)
    with pytest.raises(ValueError, match="A queue comes with"):
        Pretrainer(student=student, momentum_encoder=make_encoder(1), contrastive_weight=1.0)
    with pytest.raises(ValueError, match="a weight above 0"):
        Pretrainer(student=student, teacher=make_encoder(1), distillation_weight=0.0)
    with pytest.raises(ValueError, match="A queue comes with"):
        Pretrainer(student=student, teacher=make_encoder(1), queue=KeyQueue(4, 8))


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "graph"])
def test_mixup_shows_both_networks_the_same_mixed_images(eager, encoders, copy):
    pretrainer = make_pretrainer(encoders, "regression", mixup=True, seed=5)
    (batch,) = views(1)
    expected = reference_step(pretrainer, [mix_images(batch, tf.constant([5, 0]))], copy)
    fit(pretrainer, [(batch,)], eager)
    assert_close(
        values(pretrainer.student.trainable_variables),
        values(expected["student"].trainable_variables),
    )


def test_mixed_images_need_a_teacher_that_sees_them(encoders):
    with pytest.raises(ValueError, match="need a teacher"):
        make_pretrainer(encoders, "contrast", mixup=True)
    with pytest.raises(ValueError, match="need a teacher"):
        make_pretrainer(encoders, "both", cross_views=True)


def test_the_teacher_sees_the_other_view(encoders, make_encoder):
    """Its embedding of the second view is the target of the student's embedding of the first."""
    pretrainer = make_pretrainer(encoders, "regression", cross_views=True)
    assert pretrainer.views == 2
    first, second = views(2)
    query = pretrainer.student(first, training=True).numpy()
    target = pretrainer.teacher(second, training=False).numpy()
    expected = np.mean(np.sum((query - target) ** 2, axis=1))
    pretrainer = make_pretrainer(encoders, "regression", cross_views=True)
    history = fit(pretrainer, [(first, second)], eager=True)
    assert history["regression"][0] == pytest.approx(expected, rel=1e-4)


def test_a_weight_grows_evenly_and_then_stays(encoders):
    pretrainer = make_pretrainer(
        encoders, "regression", final_distillation_weight=1.0, total_steps=8
    )
    for step, weight in ((0, 0.5), (4, 0.75), (8, 1.0), (20, 1.0)):
        pretrainer.steps.assign(step)
        assert float(pretrainer.weight_of("distillation")) == pytest.approx(weight)
        assert pretrainer.weight_of("regression") == 1.5
