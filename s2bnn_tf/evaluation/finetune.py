"""Fine-tuning: a classifier and the network below it, trained together on labels."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from s2bnn_tf.data import PROBE_FLIP_PROBABILITY, ImageSource, labeled_dataset, normalize
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation.features import Progress
from s2bnn_tf.evaluation.knn import top_accuracies
from s2bnn_tf.evaluation.linear_lbfgs import require_two_classes
from s2bnn_tf.runs import LoadedEncoder

keras = tf.keras


def finetune(
    encoder: LoadedEncoder,
    train: ImageSource,
    test: ImageSource,
    *,
    epochs: int = 20,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    min_crop: float = 0.08,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict:
    """Train backbone and classifier by Adam on augmented views, and test them.

    The learning rate falls to zero along a cosine, step by step. Crops and flips
    are drawn anew in each epoch. The last epoch is what counts.

    Args:
        encoder: its backbone is trained, in memory; its files stay as they are.
        train: labeled images to learn from.
        test: labeled images of the same classes.
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: at the start.
        min_crop: share of the area that a crop has at least, in (0, 1]; the largest has all of it.
        seed: of the classifier's initial weights and the augmentation.
        progress: told after each step.

    Returns:
        "top1" and "top5" in [0, 1], and every parameter.

    Raises:
        UserError: if the training split shows fewer than two classes, or training diverges.
    """
    require_two_classes(train.labels)
    crop_scale = (min_crop, 1.0)
    steps = -(-len(train) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps)
    classifier = _classifier(encoder, len(train.class_names), seed)
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
            crop_scale=crop_scale,
            seed=seed + epoch,
        )
        for step, (images, labels) in enumerate(views, 1):
            loss = classifier.train_on_batch(images, labels)
            if progress is not None:
                progress(f"fine-tuning of {encoder.name}", epoch * steps + step, epochs * steps)
        if not np.isfinite(loss):
            raise UserError(
                f"Fine-tuning diverged in epoch {epoch + 1} at learning rate {learning_rate:g}: "
                "give a smaller one."
            )
    return {
        **_test(classifier, encoder, test, batch_size),
        "n_train": len(train),
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": "adam",
        "learning_rate": learning_rate,
        "schedule": "cosine",
        "weight_decay": 0.0,
        "augmentation": {
            "crop_scale": list(crop_scale),
            "flip_probability": PROBE_FLIP_PROBABILITY,
        },
        "final_training_loss": float(loss),
        "seed": seed,
    }


def _classifier(encoder: LoadedEncoder, classes: int, seed: int) -> keras.Model:
    """RGB 0-255 (B, S, S, 3) to logits (B, K), over the encoder's own backbone."""
    image = keras.Input((encoder.image_size, encoder.image_size, 3))
    features = encoder.encoder.backbone(normalize(image))
    initializer = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    return keras.Model(image, keras.layers.Dense(classes, kernel_initializer=initializer)(features))


def _test(classifier, encoder: LoadedEncoder, test: ImageSource, batch_size: int) -> dict:
    images = labeled_dataset(
        test,
        image_size=encoder.image_size,
        batch_size=batch_size,
        center_crop=encoder.center_crop,
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
