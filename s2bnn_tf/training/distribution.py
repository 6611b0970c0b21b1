"""The devices of a run: one, all those of a machine, or those of several machines."""

from __future__ import annotations

import os
from collections.abc import Callable

import tensorflow as tf

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.reading import ListOf, Object, Text, check_fields, parse_json


def open_strategy(distribution: str) -> tf.distribute.Strategy:
    """Open TensorFlow's strategy for a `distribution`, before anything is computed.

    Args:
        distribution: `none`; `mirrored`, over all GPUs of this machine; or `multi_worker`, over
            the machines that `TF_CONFIG` or a SLURM job step names.

    Raises:
        ConfigError: If `multi_worker` finds neither of them, or cannot use the one it finds.
    """
    if distribution == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if distribution == "multi_worker":
        try:
            resolver = _resolver()
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        except KeyError as error:
            reason = f"the environment variable {error} is not set"
        except (ValueError, TypeError, RuntimeError, tf.errors.OpError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"distribution: multi_worker cannot start: {reason}; check TF_CONFIG, or the SLURM "
            "job step, of every worker."
        )
    return tf.distribute.get_strategy()


def _resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    if "TF_CONFIG" in os.environ:
        _check_tf_config(os.environ["TF_CONFIG"])
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if "SLURM_PROCID" in os.environ:
        # The resolver assigns GPUs even where there are none, so it gets one per task, and
        # none of them is used.
        tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
        none = {"gpus_per_node": tasks, "gpus_per_task": 1, "auto_set_gpu": False}
        options = {} if tf.config.list_physical_devices("GPU") else none
        return tf.distribute.cluster_resolver.SlurmClusterResolver(**options)
    raise ValueError("neither TF_CONFIG nor SLURM_PROCID is set")


def _check_tf_config(text: str) -> None:
    """Refuse what TensorFlow would take for a single machine, or could not train on."""
    content = parse_json(text)
    check_fields(content, {"cluster": Object(values=ListOf(Text())), "task.type": Text()})
    cluster, task = content["cluster"], content["task"]
    if task["type"] not in ("chief", "worker"):
        raise ValueError(f"a task of type {task['type']!r} does not train, only chief and worker")
    index = str(task.get("index"))  # some clusters write it as a text
    if index not in map(str, range(len(cluster.get(task["type"], [])))):
        raise ValueError(f"the cluster has no {task['type']} {index}")


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process is the one that writes the run directory."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def agreement(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """Return a function that returns, on every worker, whether any worker passed True to it.

    All workers must call it together. With a single process it returns its argument.
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
    """Join the values of all replicas along the first axis, on each of them.

    It must be called in a replica context.
    """
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return value
    return replica.all_gather(_here(value), axis=0)


def total(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Sum each value over all replicas, on each of them.

    It must be called in a replica context.
    """
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return values
    sums: list[tf.Tensor] = replica.all_reduce("SUM", [_here(value) for value in values])
    return sums


def _here(value: tf.Tensor) -> tf.Tensor:
    """Put a value on a named device, since TensorFlow needs to know where a result goes."""
    replica = tf.distribute.get_replica_context()
    devices = replica.strategy.extended.worker_devices  # those of this process
    number = tf.get_static_value(replica.replica_id_in_sync_group)
    with tf.device(devices[int(number) % len(devices)]):
        return tf.identity(value)
