"""Images to views: sources, image operations, datasets."""

from s2bnn_tf.data.augment import IMAGENET_MEAN, IMAGENET_STD, Augmentation, normalize
from s2bnn_tf.data.decode import load_image
from s2bnn_tf.data.pack import pack
from s2bnn_tf.data.sources import ImageSource, open_images, open_source
from s2bnn_tf.data.views import (
    PROBE_FLIP_PROBABILITY,
    batch_indices,
    labeled_dataset,
    steps_per_epoch,
    view_dataset,
)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "PROBE_FLIP_PROBABILITY",
    "Augmentation",
    "ImageSource",
    "batch_indices",
    "labeled_dataset",
    "load_image",
    "normalize",
    "open_images",
    "open_source",
    "pack",
    "steps_per_epoch",
    "view_dataset",
]
