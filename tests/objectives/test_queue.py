"""KeyQueue against a list that drops the oldest keys."""

from __future__ import annotations

import subprocess
import sys
from collections import deque

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.objectives import KeyQueue

pytestmark = pytest.mark.both_sets

DIM = 3


def numbered(first: int, count: int) -> np.ndarray:
    """Keys whose values are their numbers."""
    return np.repeat(np.arange(first, first + count, dtype=np.float32)[:, None], DIM, axis=1)


def oldest_first(queue: KeyQueue) -> np.ndarray:
    return np.roll(queue.keys.numpy(), -int(queue.position), axis=0)


# The sizes are below, equal to, above and not multiples of the batches, which may be empty.
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("batches", [(4, 4, 4), (1,) * 9, (0, 3, 0, 4), (11, 2), (5, 30, 1)])
@pytest.mark.parametrize("size", [1, 3, 4, 5, 8, 12])
def test_the_newest_keys_stay_in_order(size, batches, compiled):
    queue = KeyQueue(size, DIM)
    expected = deque(queue.keys.numpy(), maxlen=size)
    enqueue = queue.enqueue
    if compiled:
        enqueue = tf.function(enqueue, input_signature=[tf.TensorSpec((None, DIM))])
    number = 0
    for batch in batches:
        keys = numbered(number, batch)
        enqueue(tf.constant(keys, shape=(batch, DIM)))
        expected.extend(keys)
        number += batch
        np.testing.assert_array_equal(oldest_first(queue), np.array(expected))
        assert 0 <= int(queue.position) < size


def test_nothing_is_lost_while_there_is_room():
    queue = KeyQueue(10, DIM)
    before = queue.keys.numpy()
    queue.enqueue(numbered(0, 4))
    queue.enqueue(numbered(4, 4))
    np.testing.assert_array_equal(queue.keys[:8], numbered(0, 8))
    np.testing.assert_array_equal(queue.keys[8:], before[8:])


def test_a_checkpoint_brings_back_keys_and_position(tmp_path):
    queue = KeyQueue(5, DIM)
    queue.enqueue(numbered(0, 7))
    path = tf.train.Checkpoint(queue=queue).save(tmp_path / "checkpoint")
    other = KeyQueue(5, DIM, seed=9)
    tf.train.Checkpoint(queue=other).restore(path).assert_consumed()
    np.testing.assert_array_equal(other.keys, queue.keys)
    for each in (queue, other):
        each.enqueue(numbered(7, 2))
    np.testing.assert_array_equal(other.keys, queue.keys)
    np.testing.assert_array_equal(oldest_first(other), numbered(4, 5))


def test_first_keys_are_random_directions_of_unit_length():
    keys = KeyQueue(512, 16).keys.numpy()
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1, rtol=1e-5)
    assert np.abs(keys.mean(axis=0)).max() < 0.05
    similar = keys @ keys.T - np.eye(512)
    assert similar.max() < 0.95


def test_first_keys_depend_on_the_seed_alone():
    first = KeyQueue(8, DIM, seed=1).keys
    tf.random.normal([3])
    np.testing.assert_array_equal(KeyQueue(8, DIM, seed=1).keys, first)
    assert not np.array_equal(KeyQueue(8, DIM, seed=2).keys, first)


def test_size_and_what_is_trained():
    queue = KeyQueue(8, DIM)
    assert (queue.size, queue.keys.shape) == (8, (8, DIM))
    assert queue.trainable_variables == ()


def enqueue_in_another_process(code: str) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own, since the operations below abort the whole process."""
    start = "import tensorflow as tf\nfrom s2bnn_tf.objectives import KeyQueue\n"
    return subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, check=False
    )


def test_keys_of_every_floating_point_type_are_cast():
    code = """
q = KeyQueue(4, 3)
for compiled in (False, True):
    for dtype in (tf.float16, tf.bfloat16, tf.float64):
        enqueue = tf.function(q.enqueue) if compiled else q.enqueue
        enqueue(tf.ones((4, 3), dtype) * 0.5)
        assert q.keys.numpy().tolist() == [[0.5] * 3] * 4, q.keys
        enqueue(tf.zeros((4, 3)))
"""
    done = enqueue_in_another_process(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize(
    "keys",
    [
        tf.ones((2, DIM + 1)),
        tf.ones((2, DIM - 1)),
        tf.ones((2, 0)),
        tf.ones(DIM),
        tf.ones((2, DIM, 1)),
        tf.ones(()),
        tf.ones((2, DIM), tf.int32),
        tf.ones((2, DIM), tf.complex64),
        tf.constant([["a"] * DIM]),
    ],
    ids=lambda keys: f"{keys.dtype.name}{keys.shape}",
)
def test_keys_of_another_shape_or_kind_change_nothing(keys, compiled):
    queue = KeyQueue(4, DIM)
    before = queue.keys.numpy()
    enqueue = tf.function(queue.enqueue) if compiled else queue.enqueue
    with pytest.raises(ValueError, match=r"floating-point keys of the shape \(B, 3\), not "):
        enqueue(keys)
    np.testing.assert_array_equal(queue.keys, before)
    assert int(queue.position) == 0


@pytest.mark.parametrize("shape", [(2, DIM + 1), (2, DIM - 1), (DIM,), (2, DIM, 1)])
def test_a_shape_that_is_not_known_before_the_graph_runs(shape):
    queue = KeyQueue(4, DIM)
    before = queue.keys.numpy()
    enqueue = tf.function(queue.enqueue, input_signature=[tf.TensorSpec(None)])
    with pytest.raises(tf.errors.InvalidArgumentError):
        enqueue(tf.ones(shape))
    np.testing.assert_array_equal(queue.keys, before)
    assert int(queue.position) == 0
    enqueue(tf.ones((2, DIM)))
    assert int(queue.position) == 2
