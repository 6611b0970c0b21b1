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

import tensorflow as tf  # noqa: E402

from s2bnn_tf.backbones import register_backbone  # noqa: E402
from s2bnn_tf.config import (  # noqa: E402
    Config,
    DataConfig,
    MonitorConfig,
    ObjectiveConfig,
    OptimizerConfig,
    StudentConfig,
)
from s2bnn_tf.export import convert_run  # noqa: E402
from s2bnn_tf.layers import BinaryConv2D, RPReLU  # noqa: E402
from s2bnn_tf.runs import open_encoder  # noqa: E402
from s2bnn_tf.training import pretrain  # noqa: E402
from s2bnn_tf.training.fitting import Training  # noqa: E402

keras = tf.keras


@register_backbone("two_convolutions")
def two_convolutions(input_shape: tuple[int, int, int]) -> keras.Model:
    """A real and a binary convolution: a network that is traced and converted in a second."""
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(image)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    x = BinaryConv2D(32, 3)(x)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(RPReLU()(x)))


RECIPE = Config(
    seed=3,
    epochs=1,
    data=DataConfig(source="digits", image_size=32, batch_size=256),
    student=StudentConfig(backbone="two_convolutions", embedding_dim=8),
    objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0, queue_size=400),
    optimizer=OptimizerConfig(learning_rate=3e-3, weight_decay=1e-4),
    monitor=MonitorConfig(knn_every=0),
)
WHOLE = replace(RECIPE, epochs=2)


def begin(run: str) -> None:
    pretrain(RECIPE, run)


def restore(run: str, prefix: str) -> None:
    def fit(self: Training, *_: object) -> bool:
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
