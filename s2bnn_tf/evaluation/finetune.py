"""Fine-tuning: a classifier and the network below it, trained together on labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from s2bnn_tf.data import PROBE_FLIP_PROBABILITY, ImageSource, labeled_dataset, normalize
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.evaluation.features import ImageEncoder
from s2bnn_tf.evaluation.knn import top_accuracies
from s2bnn_tf.evaluation.linear_lbfgs import require_two_classes
from s2bnn_tf.image_size import height_width
from s2bnn_tf.progress import Progress

keras = tf.keras


def finetune(
    encoder: ImageEncoder,
    backbone: keras.Model,
    train: ImageSource,
    test: ImageSource,
    *,
    epochs: int = 20,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    min_crop: float = 0.08,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a backbone and a classifier with Adam on augmented views, and test them.

    The learning rate falls to zero along a cosine, step by step. Every epoch draws new crops and
    flips. The network of the last epoch is tested.

    Args:
        encoder: The model that is fine-tuned, for its name and its input; it is not changed.
        backbone: Its backbone, from normalized images to features, which is trained in place.
        train: Labeled images to learn from.
        test: Labeled images of the same classes.
        epochs: The number of passes over the training images.
        batch_size: The number of images per step.
        learning_rate: The learning rate at the start.
        min_crop: The smallest share of the area that a crop keeps, in (0, 1]; the largest is 1.
        seed: The seed of the classifier's initial weights and the augmentation.
        progress: Called after each step.

    Returns:
        "top1" and "top5" in [0, 1], and every parameter.

    Raises:
        DataError: If the training split has fewer than two classes.
        ConfigError: If training diverges.
    """
    require_two_classes(train.labels)
    crop_scale = (min_crop, 1.0)
    classifier = _classifier(backbone, encoder, len(train.class_names), seed)
    loss = _train(
        classifier, encoder, train, epochs, batch_size, learning_rate, crop_scale, seed, progress
    )
    return {
        **_test(classifier, encoder, test, batch_size),
        "n_train": len(train),
        "epochs": epochs,
        "steps": epochs * -(-len(train) // batch_size),
        "batch_size": batch_size,
        "optimizer": "adam",
        "learning_rate": learning_rate,
        "schedule": "cosine",
        "weight_decay": 0.0,
        "augmentation": {
            "crop_scale": list(crop_scale),
            "flip_probability": PROBE_FLIP_PROBABILITY,
        },
        "final_training_loss": loss,
        "seed": seed,
    }


def _classifier(
    backbone: keras.Model, encoder: ImageEncoder, classes: int, seed: int
) -> keras.Model:
    """Put a classifier on a backbone: images 0-255 `(B, H, W, C)` to logits `(B, K)`."""
    image = keras.Input((*height_width(encoder.image_size), encoder.channels))
    features = backbone(normalize(image))
    initializer = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    return keras.Model(image, keras.layers.Dense(classes, kernel_initializer=initializer)(features))


def _train(
    classifier: keras.Model,
    encoder: ImageEncoder,
    train: ImageSource,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    crop_scale: tuple[float, float],
    seed: int,
    progress: Progress | None,
) -> float:
    """Train the classifier in place and return the loss of its last batch."""
    steps = -(-len(train) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps)
    classifier.compile(
        keras.optimizers.Adam(schedule, epsilon=1e-8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for epoch in range(epochs):
        views = labeled_dataset(
            train,
            image_size=encoder.image_size,
            batch_size=batch_size,
            center_crop=encoder.center_crop,
            channels=encoder.channels,
            crop_scale=crop_scale,
            seed=seed + epoch,
        )
        for step, (images, labels) in enumerate(views, 1):
            loss = classifier.train_on_batch(images, labels)
            if progress is not None:
                progress(f"fine-tuning of {encoder.name}", epoch * steps + step, epochs * steps)
        if not np.isfinite(loss):
            raise ConfigError(
                f"Fine-tuning diverged in epoch {epoch + 1} at learning rate {learning_rate:g}; "
                "choose a smaller one."
            )
    return float(loss)


def _test(
    classifier: keras.Model, encoder: ImageEncoder, test: ImageSource, batch_size: int
) -> dict[str, Any]:
    images = labeled_dataset(
        test,
        image_size=encoder.image_size,
        batch_size=batch_size,
        center_crop=encoder.center_crop,
        channels=encoder.channels,
    )
    logits, labels = zip(
        *(
            (classifier.predict_on_batch(batch), known)
            for batch, known in images.as_numpy_iterator()
        ),
        strict=True,
    )
    truth = np.concatenate(labels)
    return {**top_accuracies(np.concatenate(logits), truth), "n_test": len(truth)}
