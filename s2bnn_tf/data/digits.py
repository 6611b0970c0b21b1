"""The handwritten digits that scikit-learn contains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIZE = 32
_TEST_IMAGES = 360


def load_digits(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Load one split of the 1,797 digits, resized from 8x8 to 32x32.

    Args:
        split: `train` (1,437 images) or `test` (360), stratified by class.

    Returns:
        RGB images uint8 `(N, 32, 32, 3)`, labels int64 `(N,)`, class names.

    References:
        https://archive.ics.uci.edu/dataset/80, whose test set scikit-learn contains.
    """
    # Imported here: scikit-learn takes a second to load and only this source needs it.
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    digits = datasets.load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)),
        test_size=_TEST_IMAGES,
        stratify=digits.target,
        random_state=0,
    )
    chosen = np.sort(train if split == "train" else test)
    pixels = np.round(digits.images[chosen] * (255 / 16)).astype(np.uint8)
    images = np.stack([_enlarge(digit) for digit in pixels])
    return images, digits.target[chosen].astype(np.int64), tuple("0123456789")


def _enlarge(digit: NDArray[np.uint8]) -> NDArray[np.uint8]:
    resized = Image.fromarray(digit).resize((_SIZE, _SIZE), Image.Resampling.BILINEAR)
    return np.asarray(resized.convert("RGB"))
