"""Images in, batches of views out.

Read the files in this order:

1. Where images are: `sources` opens them by name; `digits`, `idx`, `folder`, `flat`, `list_file`,
   `records` and `video`, with `video_worker`, know the formats; `decode` turns files into pixels
   and `readable` leaves out broken ones. `registry` is for custom sources.
2. What a source is: `image_source` is the interface; `array_source` holds images in memory;
   `decoded_source` decodes them one at a time, in `file_source` from files.
3. What happens to images: `crop` and `augment` for batches of small ones, by the matrices of
   `resample`; `changes` and `pixels` for one large image at a time; `mixup` for views.
4. What training and evaluation read: `order`, `views`, `labeled`; `crops` and `crop_dataset` for
   crops that are drawn once; `numpy_op` calls Python in them.
5. `pack` writes a folder of images into a few large files.
"""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.data.array_source import ArraySource
from s2bnn_tf.data.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Augmentation,
    channel_statistics,
    denormalize,
    normalize,
)
from s2bnn_tf.data.crop_dataset import crop_dataset
from s2bnn_tf.data.crops import Crops, draw_crops
from s2bnn_tf.data.decode import load_image
from s2bnn_tf.data.decoded_source import DecodedSource
from s2bnn_tf.data.file_source import FileSource
from s2bnn_tf.data.flat import list_pictures, path_of
from s2bnn_tf.data.folder import Listing, list_splits, list_video
from s2bnn_tf.data.image_source import ImageSource
from s2bnn_tf.data.labeled import PROBE_FLIP_PROBABILITY, labeled_dataset
from s2bnn_tf.data.list_file import Listed, read_list, write_list
from s2bnn_tf.data.mixup import mix_images
from s2bnn_tf.data.numpy_op import numpy_op, plain_errors
from s2bnn_tf.data.order import batch_indices, steps_per_epoch
from s2bnn_tf.data.pack import pack
from s2bnn_tf.data.pictures import (
    center_crop,
    center_offset,
    covering_shape,
    resample_coefficients,
    see,
    to_gray,
)
from s2bnn_tf.data.registry import register_source, source_names, source_plugin
from s2bnn_tf.data.seen import prepare
from s2bnn_tf.data.sources import (
    bytes_in_memory,
    has_own_splits,
    open_all,
    open_images,
    open_source,
)
from s2bnn_tf.data.video import Video, default_frames_dir, is_video, sample_video
from s2bnn_tf.data.views import view_dataset

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "PROBE_FLIP_PROBABILITY",
    "ArraySource",
    "Augmentation",
    "Crops",
    "DecodedSource",
    "FileSource",
    "ImageSource",
    "Listed",
    "Listing",
    "Video",
    "batch_indices",
    "bytes_in_memory",
    "center_crop",
    "center_offset",
    "channel_statistics",
    "covering_shape",
    "crop_dataset",
    "default_frames_dir",
    "denormalize",
    "draw_crops",
    "has_own_splits",
    "is_video",
    "labeled_dataset",
    "list_pictures",
    "list_splits",
    "list_video",
    "load_image",
    "mix_images",
    "normalize",
    "numpy_op",
    "open_all",
    "open_images",
    "open_source",
    "pack",
    "path_of",
    "plain_errors",
    "prepare",
    "read_list",
    "register_source",
    "resample_coefficients",
    "sample_video",
    "see",
    "source_names",
    "source_plugin",
    "steps_per_epoch",
    "to_gray",
    "view_dataset",
    "write_list",
]
