"""A training step has a GPU's kernel for each operation, and copies nothing to the host."""

from __future__ import annotations

import pytest
import tensorflow as tf
from gpu import placement
from gpu_kernels import copies_to_host, without_kernel

from s2bnn_tf.objectives import KeyQueue
from s2bnn_tf.training import Adam, Pretrainer

pytestmark = pytest.mark.skipif(
    not tf.test.is_built_with_cuda(), reason="this TensorFlow was built without CUDA"
)


def graph_of_step(make_encoder, precision: str) -> tf.Graph:
    """The graph of a step with both losses, as Keras compiles it for a precision."""
    tf.keras.mixed_precision.set_global_policy(precision)
    try:
        pretrainer = Pretrainer(
            student=make_encoder(0),
            teacher=make_encoder(1),
            momentum_encoder=make_encoder(2),
            queue=KeyQueue(24, 8),
            contrastive_weight=1.0,
        )
        pretrainer.compile(optimizer=Adam())
        pretrainer.optimizer.build(pretrainer.student.trainable_variables)
        step = tf.function(lambda *views: pretrainer.train_step(views))
        return step.get_concrete_function(*2 * [tf.TensorSpec((6, 8, 8, 3))]).graph
    finally:
        tf.keras.mixed_precision.set_global_policy(None)


def test_a_step_runs_on_a_gpu_alone(make_encoder):
    graph = graph_of_step(make_encoder, "float32")
    assert len(graph.get_operations()) > 500
    assert not without_kernel(graph)
    assert not copies_to_host(graph)


@pytest.mark.filterwarnings("ignore:.*mixed_float16.*")
def test_in_float16_the_scale_of_the_loss_alone_waits_for_the_host(make_encoder):
    graph = graph_of_step(make_encoder, "mixed_float16")
    assert not without_kernel(graph)
    readers = {copy.split(" -> ")[1] for copy in copies_to_host(graph)}
    assert readers <= {"If"}


def test_what_only_a_processor_can_do_is_named():
    @tf.function
    def step(x: tf.Tensor) -> tf.Tensor:
        y = tf.numpy_function(lambda a: a, [x], tf.float32)
        letters = lambda: tf.cast(tf.strings.length(tf.as_string(x)), tf.float32)  # noqa: E731
        return tf.cond(tf.shape(x)[0] > 2, lambda: tf.nn.elu(y), letters)

    named = without_kernel(step.get_concrete_function(tf.TensorSpec((None,))).graph)
    assert {"PyFunc()", "StringLength()"} <= named.keys()
    assert "Elu(float32)" not in named


def test_a_size_that_a_gpu_computes_is_copied_to_the_host():
    @tf.function
    def step(x: tf.Tensor) -> tf.Tensor:
        return tf.range(tf.cast(tf.reduce_sum(x), tf.int32)) + tf.range(tf.shape(x)[0])

    graph = step.get_concrete_function(tf.TensorSpec((None,))).graph
    assert dict(copies_to_host(graph)) == {"Cast(float32, int32) -> Range": 1}


def test_what_ran_on_the_host_is_counted_from_the_record_of_a_step():
    x = tf.ones((2, 2))
    found = placement(tf.function(lambda: x + tf.random.normal((2, 2))))
    assert found["operations_on_host"]["RandomStandardNormal"] == 1
    assert found["copies_to_host"] == 0
