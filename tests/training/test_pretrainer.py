"""Only what should move, moves: one step of each recipe against a step written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.objectives import KeyQueue
from s2bnn_tf.training import SGD, Pretrainer

keras = tf.keras

RECIPES = {"contrast": (1.0, 0.0), "both": (0.7, 2.0), "distil": (0.0, 1.0)}
MOMENTUM, TEMPERATURE, RATE, QUEUE = 0.9, 0.2, 0.1, 10
BATCH = 6


def views(count: int, seed: int = 0) -> tuple[tf.Tensor, ...]:
    rng = np.random.default_rng(seed)
    return tuple(tf.constant(rng.normal(size=(BATCH, 8, 8, 3)), tf.float32) for _ in range(count))


def make_pretrainer(make_encoder, recipe: str, **options) -> Pretrainer:
    contrastive, distillation = RECIPES[recipe]
    return Pretrainer(
        student=make_encoder(0),
        teacher=make_encoder(2) if distillation else None,
        momentum_encoder=make_encoder(1) if contrastive else None,
        queue=KeyQueue(QUEUE, 8) if contrastive else None,
        contrastive_weight=contrastive,
        distillation_weight=distillation,
        temperature=TEMPERATURE,
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
    """A copy of an encoder; each role has one network, which is used again and again."""
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


def reference_step(pretrainer: Pretrainer, batch, copy) -> dict:
    """What one step of SGD should leave behind; nothing of the pretrainer is touched."""
    student = copy(pretrainer, "student")
    result = {"keys": None}
    contrastive, distillation = pretrainer.objective_weights.values()
    key = target = None
    if pretrainer.momentum_encoder is not None:
        momentum_encoder = copy(pretrainer, "momentum_encoder")
        for theirs, ours in zip(
            momentum_encoder.trainable_variables, student.trainable_variables, strict=True
        ):
            theirs.assign(MOMENTUM * theirs.numpy() + (1 - MOMENTUM) * ours.numpy())
        key = momentum_encoder(batch[1], training=True)
        negatives = pretrainer.queue.keys.numpy()
        result.update(momentum_encoder=momentum_encoder, keys=key.numpy())
    if pretrainer.teacher is not None:
        target = copy(pretrainer, "teacher")(batch[0], training=False)
    with tf.GradientTape() as tape:
        query = student(batch[0], training=True)
        losses = {}
        if key is not None:
            logits = query @ tf.transpose(tf.concat([key, negatives], axis=0)) / TEMPERATURE
            own = tf.one_hot(range(BATCH), BATCH)
            allowed = tf.concat([own, tf.ones((BATCH, QUEUE))], axis=1)
            logits += tf.math.log(allowed)  # of the batch's keys, each query sees its own only
            losses["contrastive"] = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(range(BATCH), logits)
            )
        if target is not None:
            losses["distillation"] = tf.reduce_mean(
                tf.nn.softmax_cross_entropy_with_logits(
                    tf.nn.softmax(target / TEMPERATURE), query / TEMPERATURE
                )
            )
        loss = contrastive * losses.get("contrastive", 0.0)
        loss += distillation * losses.get("distillation", 0.0)
    gradients = tape.gradient(loss, student.trainable_variables)
    for variable, gradient in zip(student.trainable_variables, gradients, strict=True):
        variable.assign_sub(RATE * gradient)
    squares = [float(np.sum(np.square(gradient))) for gradient in gradients]
    losses.update(loss=loss, gradient_norm=np.sqrt(sum(squares)))
    return {**result, "student": student, "losses": losses}


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "graph"])
@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_one_step_is_the_step_written_out(recipe, eager, make_encoder, copy):
    pretrainer = make_pretrainer(make_encoder, recipe)
    before = values(pretrainer.student.trainable_variables)
    first_keys = None if pretrainer.queue is None else pretrainer.queue.keys.numpy()
    frozen = None if pretrainer.teacher is None else values(pretrainer.teacher.variables)
    batch = views(pretrainer.views)
    expected = reference_step(pretrainer, batch, copy)
    history = fit(pretrainer, [batch], eager)

    # The student: every parameter has moved, to where the gradient says; its statistics too.
    student = pretrainer.student
    assert_close(values(student.variables), values(expected["student"].variables))
    for old, new in zip(before, values(student.trainable_variables), strict=True):
        assert not np.array_equal(old, new)
    # Losses, each by its own name.
    assert history.keys() == expected["losses"].keys()
    for name, value in expected["losses"].items():
        np.testing.assert_allclose(history[name], [value], rtol=1e-4, err_msg=name)
    assert int(pretrainer.optimizer.iterations) == 1
    # The teacher: not a bit, statistics included.
    if frozen is not None:
        for old, new in zip(frozen, values(pretrainer.teacher.variables), strict=True):
            np.testing.assert_array_equal(old, new)
    # The momentum encoder: parameters by the formula, statistics by its own forward pass.
    if pretrainer.momentum_encoder is not None:
        assert_close(
            values(pretrainer.momentum_encoder.variables),
            values(expected["momentum_encoder"].variables),
        )
        np.testing.assert_allclose(pretrainer.queue.keys[:BATCH], expected["keys"], atol=1e-5)
        np.testing.assert_array_equal(pretrainer.queue.keys[BATCH:], first_keys[BATCH:])
        assert int(pretrainer.queue.position) == BATCH


def test_keys_wait_until_the_next_step(make_encoder, copy):
    """Each step contrasts against the queue that the steps before it have filled."""
    pretrainer = make_pretrainer(make_encoder, "both")
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


def test_averaged_key_statistics_follow_the_student(make_encoder, copy):
    pretrainer = make_pretrainer(make_encoder, "contrast", key_statistics="averaged")
    momentum_encoder = copy(pretrainer, "momentum_encoder")
    for theirs, ours in zip(momentum_encoder.variables, pretrainer.student.variables, strict=True):
        theirs.assign(MOMENTUM * theirs.numpy() + (1 - MOMENTUM) * ours.numpy())
    batch = views(2)
    keys = momentum_encoder(batch[1], training=False)
    fit(pretrainer, [batch], eager=True)
    assert_close(values(pretrainer.momentum_encoder.variables), values(momentum_encoder.variables))
    np.testing.assert_allclose(pretrainer.queue.keys[:BATCH], keys, atol=1e-5)


def test_views_and_metrics_of_each_recipe(make_encoder):
    pretrainers = {name: make_pretrainer(make_encoder, name) for name in RECIPES}
    assert {n: p.views for n, p in pretrainers.items()} == {"contrast": 2, "both": 2, "distil": 1}
    names = {n: [m.name for m in p.metrics] for n, p in pretrainers.items()}
    assert names == {
        "contrast": ["loss", "contrastive", "gradient_norm"],
        "both": ["loss", "contrastive", "distillation", "gradient_norm"],
        "distil": ["loss", "distillation", "gradient_norm"],
    }


def test_parts_that_do_not_go_together_are_refused(make_encoder):
    student = make_encoder(0)
    with pytest.raises(ValueError, match="teacher, a momentum encoder, or both"):
        Pretrainer(student=student)
    with pytest.raises(ValueError, match="come together"):
        Pretrainer(student=student, momentum_encoder=make_encoder(1))
    with pytest.raises(ValueError, match="come together"):
        Pretrainer(student=student, teacher=make_encoder(1), queue=KeyQueue(4, 8))
