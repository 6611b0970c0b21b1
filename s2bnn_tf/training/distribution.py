"""On what a run is computed: one device, all devices of a machine, or several machines."""

from __future__ import annotations

import os
from collections.abc import Callable

import tensorflow as tf

from s2bnn_tf.errors import UserError


def open_strategy(distribution: str) -> tf.distribute.Strategy:
    """TensorFlow's strategy for `distribution`; to be called before anything is computed.

    Args:
        distribution: `none`; `mirrored`, over all GPUs of this machine; or `multi_worker`, over
            the machines of `TF_CONFIG` or of a SLURM job step.

    Raises:
        UserError: if `multi_worker` finds neither, or what it finds makes no sense.
    """
    if distribution == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if distribution == "multi_worker":
        try:
            resolver = _resolver()
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        except (ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"distribution: multi_worker cannot start: {reason}; check TF_CONFIG, or the "
                "SLURM job step, of every worker."
            ) from error
    return tf.distribute.get_strategy()


def _resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    if "TF_CONFIG" in os.environ:
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if "SLURM_PROCID" in os.environ:
        # Without GPUs it still shares them out: one for each task, of which none is used.
        tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
        none = {"gpus_per_node": tasks, "gpus_per_task": 1, "auto_set_gpu": False}
        options = {} if tf.config.list_physical_devices("GPU") else none
        return tf.distribute.cluster_resolver.SlurmClusterResolver(**options)
    raise ValueError("neither TF_CONFIG nor SLURM_PROCID is set")


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def agreement(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """A function from a worker's wish to whether any worker has it, the same for all of them.

    All workers must call it together; with one process it is the wish itself.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return bool

    @tf.function
    def count(wish: tf.Tensor) -> tf.Tensor:
        def on_replica(wish: tf.Tensor) -> tf.Tensor:
            return total([wish])[0]

        return strategy.experimental_local_results(strategy.run(on_replica, args=(wish,)))[0]

    return lambda wish: bool(count(tf.constant(float(wish))) > 0)


def gather(value: tf.Tensor) -> tf.Tensor:
    """The values of all replicas along the first axis, on each; in replica context."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return value
    return replica.all_gather(_here(value), axis=0)


def total(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """The sums over all replicas, on each; in replica context."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return values
    return replica.all_reduce("SUM", [_here(value) for value in values])


def _here(value: tf.Tensor) -> tf.Tensor:
    """The same on a named device, which TensorFlow needs to know where a result goes."""
    replica = tf.distribute.get_replica_context()
    devices = replica.strategy.extended.worker_devices  # of this process
    number = tf.get_static_value(replica.replica_id_in_sync_group)
    with tf.device(devices[int(number) % len(devices)]):
        return tf.identity(value)
