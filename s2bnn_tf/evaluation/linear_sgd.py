"""A linear classifier on frozen features, trained by the protocol that papers report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf

from s2bnn_tf.data import PROBE_FLIP_PROBABILITY, ImageSource, labeled_dataset
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.evaluation.features import ImageEncoder, extract_features
from s2bnn_tf.evaluation.knn import top_accuracies
from s2bnn_tf.evaluation.linear_lbfgs import require_two_classes
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import LinearProbe

CROP_SCALE = (0.08, 1.0)  # shares of the area, as in torchvision's RandomResizedCrop
DROPS = (0.6, 0.8)  # shares of the epochs: 60 and 80 of 100


def train_linear_probe(
    encoder: ImageEncoder,
    train: ImageSource,
    test: ImageSource,
    *,
    epochs: int = 100,
    batch_size: int = 256,
    learning_rate: float = 0.1,
    seed: int = 0,
    progress: Progress | None = None,
) -> LinearProbe:
    """Train a linear classifier by the paper's protocol: SGD on freshly augmented views.

    Weights start from N(0, 0.01); momentum 0.9, no weight decay; the learning rate falls by
    `step_decay`. Every epoch draws new crops and flips of the training images and encodes them
    again, so training costs `epochs` passes. The classifier of the last epoch is the result.

    Args:
        encoder: A model, as `s2bnn_tf.teachers.open_model` returns it; it is not changed.
        train: Labeled images to learn from.
        test: Labeled images of the same classes.
        epochs: The number of passes over the training images.
        batch_size: The number of images per step.
        learning_rate: The learning rate at the start; 0.1 suits binary students, 30 MoCo's
            ResNets.
        seed: The seed of the initial weights and the augmentation.
        progress: Called after each step.

    Returns:
        The classifier.

    Raises:
        DataError: If the training split has fewer than two classes.
        ConfigError: If training diverges.

    References:
        S2-BNN, https://arxiv.org/abs/2102.08946, linear evaluation;
        MoCo, https://arxiv.org/abs/1911.05722, section 4.1.
    """
    require_two_classes(train.labels)
    head = _linear_head(encoder.feature_dim, len(train.class_names), seed)
    loss = _train(head, encoder, train, epochs, batch_size, learning_rate, seed, progress)
    kernel, bias = (np.asarray(weight) for weight in head.get_weights())
    probe = LinearProbe(
        kernel=kernel,
        bias=bias,
        class_names=train.class_names,
        parameters={
            "protocol": "paper",
            "solver": "sgd",
            "standardised": False,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "learning_rate_drops": {"at": [_drop(epochs, at) for at in DROPS], "factor": 0.1},
            "momentum": 0.9,
            "weight_decay": 0.0,
            "initial_weights": "N(0, 0.01), bias 0",
            "augmentation": {
                "crop_scale": list(CROP_SCALE),
                "flip_probability": PROBE_FLIP_PROBABILITY,
            },
            "final_training_loss": loss,
            "seed": seed,
        },
        metrics={"n_train": len(train)},
    )
    features, labels = extract_features(encoder, test, batch_size=batch_size, progress=progress)
    accuracies = top_accuracies(probe.logits(features), labels)
    return replace(probe, metrics={**probe.metrics, "n_test": len(labels), **accuracies})


def step_decay(epoch: int, epochs: int, learning_rate: float) -> float:
    """Return the learning rate of an epoch, counted from 0: x0.1 at 60 % and again at 80 %."""
    return float(learning_rate * 0.1 ** sum(epoch >= _drop(epochs, at) for at in DROPS))


def _drop(epochs: int, at: float) -> int:
    return round(epochs * at)


def _linear_head(features: int, classes: int, seed: int) -> tf.keras.Model:
    initializer = tf.keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    dense = tf.keras.layers.Dense(classes, kernel_initializer=initializer, input_shape=(features,))
    head = tf.keras.Sequential([dense])
    head.compile(
        tf.keras.optimizers.SGD(learning_rate=0.0, momentum=0.9),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return head


def _train(
    head: tf.keras.Model,
    encoder: ImageEncoder,
    train: ImageSource,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    progress: Progress | None,
) -> float:
    """Train the head in place and return the loss of its last batch."""
    steps = epochs * -(-len(train) // batch_size)
    step = 0
    for epoch in range(epochs):
        head.optimizer.learning_rate.assign(step_decay(epoch, epochs, learning_rate))
        views = labeled_dataset(
            train,
            image_size=encoder.image_size,
            batch_size=batch_size,
            center_crop=encoder.center_crop,
            channels=encoder.channels,
            crop_scale=CROP_SCALE,
            seed=seed + epoch,
        )
        for images, labels in views.as_numpy_iterator():
            loss = head.train_on_batch(encoder.features(images), labels)
            step += 1
            if progress is not None:
                progress(f"linear probe of {encoder.name}", step, steps)
        if not np.isfinite(loss):
            raise ConfigError(
                f"The linear probe diverged in epoch {epoch + 1} at learning rate "
                f"{learning_rate:g}; choose a smaller one."
            )
    return float(loss)
