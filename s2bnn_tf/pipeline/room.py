"""The memory of the stages of a fit, counted before any of them is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config
from s2bnn_tf.data import bytes_in_memory
from s2bnn_tf.runs import build_encoder
from s2bnn_tf.teachers import is_feature_file, load_teacher, with_beside
from s2bnn_tf.training import StepMemory, count_step_memory


def count_memory(configs: Mapping[str, Config]) -> dict[str, StepMemory]:
    """Count the memory of the teacher and of the student; both steps of the student need as much.

    Args:
        configs: The recipe of each stage. Where there is one for the teacher, the student's
            teacher need not exist yet.

    Raises:
        UserError: If a given teacher cannot be used.
    """
    found = {}
    stage = "step1" if "step1" in configs else "student"
    student = configs[stage]
    images = bytes_in_memory(student.data.source)  # the same for all stages
    size, channels = student.data.image_size, student.data.channels
    assert student.teacher is not None
    if "teacher" in configs:
        network = build_encoder(configs["teacher"])
        found["teacher"] = count_step_memory(
            _measured(configs["teacher"]), student=network, images=images
        )
        own = Encoder(network.backbone)
        teacher = with_beside(own, student.teacher, image_size=size, channels=channels)
    else:
        teacher = None
        if not is_feature_file(student.teacher.weights):
            teacher = load_teacher(student.teacher, image_size=size, channels=channels)
    found[stage] = count_step_memory(_measured(student), teacher=teacher, images=images)
    return found


def memory_of_all(memories: Mapping[str, StepMemory], batches: Mapping[str, int]) -> int:
    """The bytes of a process that times and trains all stages, one after another.

    The tensors of one stage take the place of those of another. What TensorFlow keeps of each
    graph stays: that of the student is built three times, since its second step is another one,
    and twice if it trains in one step.

    Args:
        memories: By stage, as from `count_memory`.
        batches: The size of the batch of each stage.
    """
    totals = {stage: memory.total(batches[stage]) for stage, memory in memories.items()}
    worst = max(totals, key=lambda stage: totals[stage])
    times = {"teacher": 2, "step1": 3, "student": 2}
    graphs = sum(times[stage] * memory.graphs for stage, memory in memories.items())
    return totals[worst] + graphs - memories[worst].graphs


def _measured(config: Config) -> Config:
    """A recipe whose network is scored, since a fit measures each in the process that trains."""
    return replace(config, monitor=replace(config.monitor, knn_every=1))
