"""A small run in a separate process.

    python replicas.py DIRECTORY DISTRIBUTION EPOCHS [KEY=VALUE]...

Two CPU devices take the place of two GPUs. The network has no BatchNormalization, so any number of
replicas must end with the same weights as one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import tensorflow as tf
import yaml

from s2bnn_tf.backbones import register_backbone
from s2bnn_tf.config import load_config
from s2bnn_tf.errors import UserError
from s2bnn_tf.layers import BinaryConv2D, RPReLU
from s2bnn_tf.training import open_strategy, pretrain

keras = tf.keras

RECIPE = {
    "seed": 3,
    "data": {"source": "digits", "image_size": 16, "batch_size": 240},
    "student": {"backbone": "plain", "embedding_dim": 8},
    "objective": {
        "contrastive_weight": 1.0,
        "distillation_weight": 0.0,
        "queue_size": 500,
        "momentum": 0.9,
    },
    # Not Adam, which turns a rounding error into as large a step as a gradient that is nearly 0.
    "optimizer": {"name": "sgd", "learning_rate": 0.03, "weight_decay": 1e-4},
    "monitor": {"knn_every": 0},
}


@register_backbone("plain")
def plain(input_shape):
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(image)
    x = RPReLU()(BinaryConv2D(8, 3)(x) + x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def main(directory: str, distribution: str, epochs: str, *overrides: str) -> None:
    if distribution == "mirrored":
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, two)
    strategy = open_strategy(distribution)
    recipe = Path(f"{directory}.{os.getpid()}.yaml")
    recipe.write_text(yaml.safe_dump(RECIPE))
    changes = [f"distribution={distribution}", f"epochs={epochs}", *overrides]
    config = load_config(recipe, changes)
    print("replicas", strategy.num_replicas_in_sync, flush=True)
    try:
        pretrain(config, directory, strategy=strategy)
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
