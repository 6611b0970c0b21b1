"""One call from a folder of pictures to an encoder on a device.

Read `fit` first, which calls the others in this order: `look` with `groups`, `plan`, `results`
with `measure`, and `deliver`.
"""

from s2bnn_tf.pipeline.fit import run_fit
from s2bnn_tf.pipeline.groups import find_groups
from s2bnn_tf.pipeline.look import Look, look_at
from s2bnn_tf.pipeline.measure import effective_rank, neighbors_kept, pixel_knn
from s2bnn_tf.pipeline.plan import Options, Plan

__all__ = [
    "Look",
    "Options",
    "Plan",
    "effective_rank",
    "find_groups",
    "look_at",
    "neighbors_kept",
    "pixel_knn",
    "run_fit",
]
