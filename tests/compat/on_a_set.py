"""What test_other_set.py lets the Python of each tested set do, each in a process of its own.

python tests/compat/on_a_set.py begin RUN              one epoch
python tests/compat/on_a_set.py restore RUN PREFIX     write the restored state as a checkpoint
python tests/compat/on_a_set.py finish RUN MODEL       the other epoch, and the conversion
python tests/compat/on_a_set.py measure RUN MODEL OUT  features of images by both
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from s2bnn_tf.environment import quiet_tensorflow

quiet_tensorflow()

from s2bnn_tf.config import (  # noqa: E402
    Config,
    DataConfig,
    MonitorConfig,
    ObjectiveConfig,
    OptimizerConfig,
    StudentConfig,
)
from s2bnn_tf.export import convert_run  # noqa: E402
from s2bnn_tf.runs import open_encoder  # noqa: E402
from s2bnn_tf.training import pretrain  # noqa: E402
from s2bnn_tf.training.fitting import Training  # noqa: E402

RECIPE = Config(
    seed=3,
    epochs=1,
    data=DataConfig(source="digits", image_size=32, batch_size=256),
    student=StudentConfig(backbone="reactnet", stem="small", width=0.03125, embedding_dim=8),
    objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0, queue_size=400),
    optimizer=OptimizerConfig(learning_rate=3e-3, weight_decay=1e-4),
    monitor=MonitorConfig(knn_every=0),
)
WHOLE = replace(RECIPE, epochs=2)


def begin(run: str) -> None:
    pretrain(RECIPE, run)


def restore(run: str, prefix: str) -> None:
    def fit(self: Training, monitors: object) -> bool:
        self.checkpoint.write(prefix)
        return False

    Training.fit = fit  # type: ignore[method-assign]
    pretrain(WHOLE, run)


def finish(run: str, model: str) -> None:
    pretrain(WHOLE, run)
    convert_run(run, model)


def measure(run: str, model: str, out: str) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (16, 32, 32, 3)).astype(np.float32)
    np.save(out, [open_encoder(path).features(images) for path in (run, model)])


if __name__ == "__main__":
    {"begin": begin, "restore": restore, "finish": finish, "measure": measure}[sys.argv[1]](
        *sys.argv[2:]
    )
