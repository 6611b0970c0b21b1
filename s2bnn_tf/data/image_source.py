"""The interface of a source of images, which the datasets and everything above them rely on.

There are two kinds: `ArraySource` for small images of one size in memory, and `DecodedSource` for
images of any size that are decoded one at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data.augment import Augmentation
from s2bnn_tf.image_size import Shape

if TYPE_CHECKING:
    from typing_extensions import Self

MakeViews = Callable[..., tuple[tf.Tensor, ...]]
CropRandomly = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
CropCenters = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class ViewMaker:
    """How a source makes views of its images.

    Attributes:
        make: A function from indices, int64 `(B,)`, and a seed, int32 `(2,)`, to a tuple of V
            tensors `(B, H, W, C)`: V views of each image. That of a `crop_maker` also takes boxes
            and flips.
        most_at_once: The largest number of images B that is efficient in one call.
        in_bytes: True if the views are 0-255 in uint8, made image by image in NumPy;
            False if they are normalized float32, made by TensorFlow's own operations.
    """

    make: MakeViews
    most_at_once: int
    in_bytes: bool


@dataclass(frozen=True, eq=False)
class ImageSource(ABC):
    """The images of one split, numbered from 0 to N - 1.

    To add another kind of storage, extend `DecodedSource`, which needs a few short methods.

    Attributes:
        name: The specification that the source was opened with, as users see it.
        split: `train` or `test`.
        labels: int64 `(N,)`, -1 for an image without a label; None if there are no classes.
        class_names: The name of each class.
        unreadable: The reason for each image that could not be read, under the name that
            `identify` gives it. It grows while images are read, since damage may show only
            then, and selections share it.
    """

    name: str
    split: str
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    unreadable: dict[str | int, str] = field(default_factory=dict, kw_only=True)

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images, N."""

    @property
    def bytes_in_memory(self) -> int:
        """The bytes that all images take while they are learned from; 0 if they are read singly."""
        return 0

    @abstractmethod
    def read(self, index: int) -> NDArray[np.uint8]:
        """Return one image, RGB `(H, W, 3)`.

        Raises:
            DataError: If the image cannot be read.
        """

    @abstractmethod
    def select(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> Self:
        """Return a source of these images only, in this order."""

    @abstractmethod
    def identify(self, index: int) -> str | int:
        """Return how users know one image: the path of its file, or its number."""

    @abstractmethod
    def contents(self) -> Iterator[bytes]:
        """Yield bytes that change whenever an image does, for a hash of the source."""

    @abstractmethod
    def view_maker(self, shape: Shape, augmentation: Augmentation, views: int) -> ViewMaker:
        """Return how `views` random views of a shape `(H, W, C)` are made of each image.

        With one channel, each image becomes gray before anything else happens to it.
        """

    @abstractmethod
    def crop_maker(self, shape: Shape, augmentation: Augmentation, views: int) -> ViewMaker:
        """Return how views are made of crops that are given, as `view_maker` does of random ones.

        Its function also takes boxes, float32 `(B, views, 4)`: top, left, height and width as
        shares of the image, and flips, bool `(B, views)`: whether to exchange left and right.
        Only the changes of color and the blur are drawn.
        """

    @abstractmethod
    def image_sizes(self) -> NDArray[np.int32]:
        """Return the height and width of each image in pixels, `(N, 2)`."""

    def digests(self) -> list[str] | None:
        """Return the SHA-256 of each image's file in hexadecimal; None without files."""
        return None

    @abstractmethod
    def random_crops(self, shape: Shape, crop_scale: tuple[float, float]) -> CropRandomly:
        """Return how random crops of images are made, for training a classifier.

        Args:
            shape: Height, width and channels of the crops, `(H, W, C)`.
            crop_scale: The smallest and largest share of the area that a crop keeps.

        Returns:
            A function from indices, int64 `(B,)`, and a seed, int32 `(2,)`, to crops, 0-255 in
            float32 `(M, H, W, C)`, and the indices `(M,)` of the images that could be read.
        """

    @abstractmethod
    def center_crops(self, shape: Shape, kept: float | None) -> CropCenters:
        """Return how images are resized and their centers cut out, for evaluation.

        Args:
            shape: Height, width and channels of the centers, `(H, W, C)`.
            kept: The fraction that is kept, in (0, 1]: an image is resized until it just covers
                the height and width divided by it. None squashes all of it to the shape.

        Returns:
            A function from indices, int64 `(B,)`, to centers, 0-255 in float32 `(M, H, W, C)`,
            and the indices `(M,)` of the images that could be read.
        """

    def failure(self, index: int) -> str | None:
        """Return why an image cannot be read, or None if nothing is known against it."""
        return self.unreadable.get(self.identify(index))

    def note_failure(self, index: int, reason: str) -> None:
        """Remember why an image cannot be read."""
        self.unreadable[self.identify(index)] = reason

    def select_labels(self, indices: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the labels of these images, if there are classes."""
        return None if self.labels is None else self.labels[indices]
