"""Whether color can tell pictures apart, which decides how far training may change it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TINTED = 8.0  # of 255: the mean distance of the channels in a picture that has color
_FEW = 0.1  # of the pictures


def have_color(images: Iterable[NDArray[Any]]) -> bool:
    """Whether more than a tenth of the images, each `(H, W, 3)` of 0 to 255, are not gray.

    Gray photographs that were scanned or compressed have a faint tint, which does not count.
    """
    tinted = [np.ptp(np.asarray(image, np.float32), axis=-1).mean() > _TINTED for image in images]
    return bool(tinted) and float(np.mean(tinted)) > _FEW
