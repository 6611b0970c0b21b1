"""Decoding image files to upright RGB, and plain reasons why a file cannot be read."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from s2bnn_tf.errors import DataError

MAX_PIXELS = 89_478_485  # a quarter of a gigabyte as RGB; Pillow warns above it
_EXIF_ORIENTATION = 0x0112
_END_OF_JPEG = b"\xff\xd9"
_SIDEWAYS = (5, 6, 7, 8)  # the EXIF orientations that exchange height and width

# `_open` refuses such files with a reason, which makes Pillow's own warning superfluous.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def load_image(path: str | Path) -> NDArray[np.uint8]:
    """Read one image file.

    Grayscale, palette, CMYK and 16-bit files become 8-bit RGB (16 bits are scaled, not
    clipped), transparent pixels are laid over white, the EXIF orientation is applied, and an
    animation gives its first frame.

    Args:
        path: A JPEG, PNG, BMP, GIF or WebP file.

    Returns:
        RGB image, uint8 `(H, W, 3)`.

    Raises:
        DataError: If the file cannot be read, with the reason.
    """
    try:
        return decode(Path(path).read_bytes())
    except Exception as error:  # a broken file can raise nearly anything inside a decoder
        raise DataError(f"Cannot read the image {path}: {failure_reason(error)}.") from error


def decode(data: bytes, minimum_size: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Decode the contents of an image file to upright RGB.

    Args:
        data: The contents of the file.
        minimum_size: A height and width that suffice. A large JPEG is then decoded at 1/2, 1/4
            or 1/8 of its size, but not below this, which is several times faster.

    Returns:
        uint8 `(H, W, 3)`.

    Raises:
        Exception: Whatever the decoder raises; `failure_reason` puts it into words.
    """
    with _open(io.BytesIO(data)) as image:
        orientation, size = _orientation(image), image.size
        if minimum_size is not None and image.format in ("JPEG", "MPO"):
            height, width = (max(1, int(np.ceil(side))) for side in minimum_size)
            if orientation in _SIDEWAYS:
                height, width = width, height
            image.draft(None, (width, height))
        if (
            (image.format, image.mode, image.size, orientation) == ("JPEG", "RGB", size, 1)
            and data.endswith(_END_OF_JPEG)  # otherwise Pillow finds out whether it is truncated
            and (pixels := _decode_plain_jpeg(data)) is not None
        ):
            return pixels
        image.load()
        upright = ImageOps.exif_transpose(image) if orientation != 1 else image
        return np.asarray(_to_rgb(upright))


def read_size(file: Path | io.BytesIO) -> tuple[int, int]:
    """Read the upright height and width of an image from its header alone.

    Raises:
        Exception: If the header cannot be read; `failure_reason` puts it into words.
    """
    with _open(file) as image:
        width, height = image.size
        return (width, height) if _orientation(image) in _SIDEWAYS else (height, width)


def failure_reason(error: Exception) -> str:
    """Return in a few words why a file could not be read."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {MAX_PIXELS // 10**6} megapixels"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return "truncated"
    return f"damaged ({error or type(error).__name__})"


def _open(file: Path | io.BytesIO) -> Image.Image:
    image = Image.open(file)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
    return image


def _decode_plain_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """Decode with OpenCV: the same library inside, Pillow's pixels in two thirds of the time."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    decoded: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return decoded


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info:  # getexif would decode a whole PNG to look further
        return 1
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  damaged metadata is no reason to lose the picture
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits per pixel; convert("RGB") would clip at 255
        values = np.asarray(image).astype(np.float32)
        return Image.fromarray((values / 257 + 0.5).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
