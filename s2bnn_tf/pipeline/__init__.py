"""One call from a folder of pictures to an encoder on a device.

Read `stages` first, which calls the others in this order: `look` with `groups`; `plan` with
`choices`, `lengths` and `plan_file`; `results` with `measure`; and `deliver`. `api` and `encoder`
are what Python programs use.
"""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.pipeline.api import fit, load
from s2bnn_tf.pipeline.encoder import FittedEncoder
from s2bnn_tf.pipeline.groups import find_groups
from s2bnn_tf.pipeline.look import Look, look_at
from s2bnn_tf.pipeline.measure import neighbors_kept, pixel_knn
from s2bnn_tf.pipeline.options import Options
from s2bnn_tf.pipeline.plan import Plan
from s2bnn_tf.pipeline.stages import check_output_dir, run_fit
from s2bnn_tf.pipeline.train import train_recipe

__all__ = [
    "FittedEncoder",
    "Look",
    "Options",
    "Plan",
    "check_output_dir",
    "find_groups",
    "fit",
    "load",
    "look_at",
    "neighbors_kept",
    "pixel_knn",
    "run_fit",
    "train_recipe",
]
