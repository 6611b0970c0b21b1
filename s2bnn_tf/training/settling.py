"""The first look of a student that begins as a `.tflite`, which holds no statistics."""

from __future__ import annotations

from s2bnn_tf.config import Config
from s2bnn_tf.data import ImageSource, crop_dataset, draw_crops
from s2bnn_tf.runs import build_augmentation, settle_statistics
from s2bnn_tf.training.pretrainer import Pretrainer

_PICTURES = 64


def settle_student(config: Config, source: ImageSource, pretrainer: Pretrainer) -> None:
    """Let a student that was made of a file know the statistics of some of the pictures.

    Args:
        config: The recipe; nothing happens unless `student.init_from` is a file.
        source: The images to train on.
        pretrainer: The networks, before the first step.
    """
    if config.student.init_file is None:
        return
    data = config.data
    crops = draw_crops(source, build_augmentation(data), 1, seed=config.seed, view=data.image_size)
    batches = crop_dataset(
        source, crops, image_size=data.image_size, channels=data.channels, images=_PICTURES
    )
    settle_statistics(pretrainer.student.backbone, next(iter(batches)))
    if pretrainer.momentum_encoder is not None:
        pretrainer.momentum_encoder.set_weights(pretrainer.student.get_weights())
