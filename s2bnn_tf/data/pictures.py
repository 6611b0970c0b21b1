"""Picture files become upright RGB, or gray, of a network's size.

This file is in two packages, s2bnn_tf.data and s2bnn_runtime, with the same bytes, so that a
device sees what the host saw. It needs NumPy and Pillow alone. Where simplejpeg is installed,
as it is on the host, JPEGs that are damaged in the middle are found and refused as well.
"""

from __future__ import annotations

import importlib
import io
import math
import os
import stat
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

try:
    import simplejpeg
except ImportError:  # on a device
    simplejpeg = None

try:
    import pillow_heif

    pillow_heif.register_heif_opener()
except ImportError:
    pillow_heif = None

Pixels = NDArray[np.uint8]

# The formats that are opened, whatever the name of the file; Pillow knows others, some of which
# start other programs.
_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "MPO": "MpoImagePlugin",
    "PNG": "PngImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "AVIF": "AvifImagePlugin",
}
# fmt: off
EXTENSIONS = (
    ".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif",
)
# fmt: on
HEIF_EXTENSIONS = (".heic", ".heif")  # read where pillow-heif is installed

MAX_PIXELS = 89_478_485  # a quarter of a gigabyte as RGB, Pillow's own limit for a warning
MAX_JPEG_PIXELS = 200_000_000  # of a JPEG, which can be decoded at a part of its size

_LARGEST_FILE = 2**30  # bytes
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # the EXIF orientations that exchange height and width
_JPEG_SCALES = (1, 2, 4, 8)
_END_OF_JPEG = b"\xff\xd9"
_PNG, _PNG_TEXT = b"\x89PNG\r\n\x1a\n", (b"tEXt", b"zTXt", b"iTXt")
_MOST_ELONGATED = 16  # shapes beyond that are resized by the part that is needed alone
_PRECISION_BITS = 22  # of Pillow's coefficients

# Pillow's warnings do not name the file. What matters is said by exceptions that do.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Pillow refuses twice this number before it tells the format; `_open` is stricter.
Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, MAX_JPEG_PIXELS)


@dataclass
class Found:
    """The pictures under a folder, and what was passed over.

    Attributes:
        paths: The pictures, sorted.
        left_out: How many files were left out, by a reason such as `".txt"` or `"broken link"`.
        closed: The folders that cannot be read, each with the reason.
        repeated: How many links lead to a picture that is listed already.
    """

    paths: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    closed: list[str] = field(default_factory=list)
    repeated: int = 0


def find_pictures(root: Path, others: tuple[str, ...] = ()) -> Found:
    """List the pictures under a folder by the endings of their names.

    Hidden files and folders, and those that archives of a Mac leave (`__MACOSX`), are passed over
    in silence. Links are followed, and every file and folder counts once.

    Args:
        root: The folder.
        others: Further endings of files to list, in lower case.
    """
    endings = extensions() + others
    found, folders = Found(), set()

    def note(error: OSError) -> None:
        found.closed.append(f"folder {error.filename}: {(error.strerror or str(error)).lower()}")

    candidates = []
    for directory, below, names in os.walk(root, followlinks=True, onerror=note):
        real = os.path.realpath(directory)
        if real in folders:  # a link to a folder that is listed already
            below.clear()
            continue
        folders.add(real)
        below[:] = sorted(name for name in below if not _is_hidden(name))
        candidates += [Path(directory, name) for name in names if not _is_hidden(name)]
    known: set[tuple[int, int]] = set()
    for path in sorted(candidates, key=lambda path: (path.is_symlink(), path)):
        reason, identity = _look(path, endings)
        if reason:
            found.left_out[reason] += 1
        elif identity in known:
            found.repeated += 1
        else:
            known.add(identity)
            found.paths.append(path)
    found.paths.sort()
    return found


def extensions() -> tuple[str, ...]:
    """The endings of the files that are read here, in lower case."""
    return EXTENSIONS + (HEIF_EXTENSIONS if pillow_heif is not None else ())


def read_file(path: str | Path) -> bytes:
    """Read a picture's file; never a pipe, a device or a folder.

    Raises:
        OSError: If it cannot be read or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without waiting for a pipe's writer
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a regular file")
        if os.fstat(descriptor).st_size > _LARGEST_FILE:
            raise OSError(0, "it is larger than a gigabyte")
        return file.read()


def decode(data: bytes, enough: tuple[float, float] | None = None) -> Pixels:
    """Decode a picture to upright RGB.

    Grayscale, palette, CMYK and 16-bit pictures become 8-bit RGB (16 bits are scaled, not
    clipped), transparent pixels are laid over white, the EXIF orientation is applied, an ICC
    profile is ignored, and of an animation the first frame is taken.

    Args:
        data: The content of the file.
        enough: The height and width that are enough. A large JPEG is then decoded at 1/2, 1/4 or
            1/8 of its size, never below this, which is several times faster.

    Returns:
        uint8 `(H, W, 3)`.

    Raises:
        Exception: Whatever the decoder raises; `failure_reason` puts it into words.
    """
    with _open(io.BytesIO(_without_text(data))) as image:
        orientation = _orientation(image)
        if image.format in ("JPEG", "MPO"):
            _choose_scale(image, enough, orientation)
        pixels = _decode_jpeg(image, data)
        if pixels is None:
            image.load()
            pixels = image_to_rgb(image)
    return _upright(pixels, orientation)


def upright_size(file: io.BufferedIOBase | io.BytesIO | Any) -> tuple[int, int]:
    """Read the upright height and width of a picture from its header alone.

    Raises:
        Exception: If the header cannot be read; `failure_reason` puts it into words.
    """
    start = file.tell()
    try:
        image = _open(file)
    except ValueError:  # perhaps only its text is too long for Pillow
        file.seek(start)
        image = _open(io.BytesIO(_without_text(file.read())))
    with image:
        width, height = image.size
        return (width, height) if _orientation(image) in _SIDEWAYS else (height, width)


def see(pixels: Pixels, shape: tuple[int, int, int], kept: float) -> Pixels:
    """What a network sees of a picture: its center, gray if the network has one channel.

    Args:
        pixels: RGB `(H, W, 3)`.
        shape: Height, width and channels of the network's input, 3 or 1.
        kept: The fraction that is kept, as for `center_crop`.

    Returns:
        uint8, of that shape.
    """
    height, width, channels = shape
    seen = center_crop(to_gray(pixels) if channels == 1 else pixels, (height, width), kept)
    return seen.reshape(shape)


def center_crop(pixels: Pixels, shape: tuple[int, int], kept: float) -> Pixels:
    """Resize a picture until it just covers `shape / kept`, and keep its center.

    For a square, to the byte what torchvision's Resize and CenterCrop make of it by Pillow.

    Args:
        pixels: RGB `(H, W, 3)`, or gray `(H, W)`.
        shape: Height and width of the result.
        kept: The fraction of the covered part that is kept, in (0, 1].

    Returns:
        uint8, of the height and width of `shape` and the channels of the picture.
    """
    whole = covering_shape(pixels.shape, shape, kept)
    top, left = (center_offset(length, side) for length, side in zip(whole, shape))
    return resize(pixels, whole, (top, left, *shape))


def covering_shape(
    picture: tuple[int, ...], shape: tuple[int, int], kept: float
) -> tuple[int, int]:
    """Return the height and width at which a picture just covers `shape / kept`.

    Rounded as in torchvision, whose Resize takes the length of the shorter side.
    """
    height, width = (int(side) for side in picture[:2])
    high, wide = (round(side / kept) for side in shape)
    if high * width >= wide * height:  # the height decides
        return high, int(high * width / height)
    return int(wide * height / width), wide


def center_offset(length: int, size: int) -> int:
    """Return where the centered `size` pixels of `length` begin, rounded as in torchvision."""
    return round((length - size) / 2)


def resize(
    pixels: Pixels, shape: tuple[int, int], box: tuple[int, int, int, int] | None = None
) -> Pixels:
    """Resize a picture, antialiased and bilinear, and return a window of the result.

    To the byte what Pillow's resize and then a crop give, without computing what is outside the
    window where a picture is so elongated that it would not fit into memory.

    Args:
        pixels: RGB `(H, W, 3)`, or gray `(H, W)`.
        shape: Height and width of the whole result.
        box: Top, left, height and width of the window in it; by default the whole.

    Returns:
        uint8, the height and width of the window and the channels of the picture.
    """
    top, left, height, width = box or (0, 0, *shape)
    if max(shape) <= _MOST_ELONGATED * max(min(shape), height, width):
        image = Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BILINEAR)
        return np.asarray(image.crop((left, top, left + width, top + height)))
    rows, columns = resample_coefficients(pixels.shape[0], shape[0], top, height), None
    if pixels.shape[1] != shape[1]:  # Pillow's order: along the rows first
        columns = resample_coefficients(pixels.shape[1], shape[1], left, width)
    first, last = (top, top + height) if rows is None else (rows[0].min(), rows[0].max() + 1)
    pixels = pixels[first:last]
    if columns is None:
        pixels = pixels[:, left : left + width]
    else:
        pixels = _resample(pixels.swapaxes(0, 1), *columns).swapaxes(0, 1)
    return pixels if rows is None else _resample(pixels, rows[0] - first, rows[1])


def resample_coefficients(
    source: int, length: int, begin: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]] | None:
    """What the lines `begin` to `begin + count` are made from when `source` become `length`.

    Returns:
        The numbers of the lines that are read, and their factors in Pillow's fixed point, both
        `(count, taps)`; None if nothing is to be resampled.
    """
    if source == length:
        return None
    scale = source / length
    support = max(scale, 1.0)
    centers = (begin + np.arange(count) + 0.5) * scale
    first = np.maximum((centers - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + support + 0.5).astype(np.int64), source)
    taps = first[:, np.newaxis] + np.arange(int((last - first).max()))
    inside = taps < last[:, np.newaxis]
    distance = np.abs((taps - centers[:, np.newaxis] + 0.5) * (1.0 / support))
    weights = np.where(inside & (distance < 1.0), 1.0 - distance, 0.0)
    totals = np.zeros(count)
    for column in weights.T:  # one after the other, as Pillow adds them up
        totals += column
    fixed = (weights / totals[:, np.newaxis] * 2**_PRECISION_BITS + 0.5).astype(np.int32)
    return np.minimum(taps, last[:, np.newaxis] - 1), fixed


def image_to_rgb(image: Image.Image) -> Pixels:
    """The pixels of an opened image as RGB, without its EXIF orientation, uint8 `(H, W, 3)`."""
    if image.mode.startswith("I"):  # 16 bits a pixel; convert("RGB") would clip at 255
        values = (np.asarray(image).astype(np.float32) / 257 + 0.5).clip(0, 255)
        return np.repeat(values.astype(np.uint8)[..., np.newaxis], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def to_gray(pixels: Pixels) -> Pixels:
    """The luma of RGB `(H, W, 3)`, uint8 `(H, W)`, by the integers of Pillow's `convert("L")`.

    A picture that is gray already keeps every value.
    """
    return np.asarray(Image.fromarray(pixels).convert("L"))


def failure_reason(error: BaseException) -> str:
    """Say in a few words why a picture could not be read."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        text = str(error)
        return text if text.startswith("more than") else _too_many(MAX_JPEG_PIXELS)
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, OSError) and error.errno == 0:
        return str(error.strerror)
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return "truncated"
    return f"damaged ({error or type(error).__name__})"


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _look(path: Path, endings: tuple[str, ...]) -> tuple[str, tuple[int, int]]:
    """Why a file is no picture, or nothing; and what tells it from every other file."""
    suffix = path.suffix.lower()
    if suffix not in endings:
        return suffix or "without an ending", (0, 0)
    try:
        status = path.stat()
    except OSError:
        return "broken link" if path.is_symlink() else "no longer there", (0, 0)
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file", (0, 0)
    return "", (status.st_dev, status.st_ino)


def _open(file: Any) -> Image.Image:
    image = Image.open(file, formats=_formats())
    limit = MAX_JPEG_PIXELS if _is_scalable(image) else MAX_PIXELS
    if image.width * image.height > limit:
        image.close()
        raise Image.DecompressionBombError(_too_many(limit))
    return image


def _too_many(limit: int) -> str:
    return f"more than {limit // 10**6} megapixels"


def _without_text(data: bytes) -> bytes:
    """A PNG without its comments, which Pillow refuses when they are long; others unchanged."""
    if not data.startswith(_PNG) or not any(kind in data for kind in _PNG_TEXT):
        return data
    kept, begin = [_PNG], len(_PNG)
    while begin + 12 <= len(data):
        end = begin + 12 + int.from_bytes(data[begin : begin + 4], "big")
        if data[begin + 4 : begin + 8] not in _PNG_TEXT:
            kept.append(data[begin:end])
        begin = end
    return b"".join(kept)


def _formats() -> list[str]:
    """The formats of `_PLUGINS` that this Pillow has."""
    for plugin in _PLUGINS.values():
        try:
            importlib.import_module(f"PIL.{plugin}")
        except ImportError:
            continue
    names = [name for name in _PLUGINS if name in Image.OPEN]
    return names + (["HEIF"] if pillow_heif is not None else [])


def _is_scalable(image: Image.Image) -> bool:
    """Whether the image is a JPEG that takes less memory when it is decoded smaller."""
    return image.format in ("JPEG", "MPO") and "progressive" not in image.info


def _choose_scale(image: Image.Image, enough: tuple[float, float] | None, orientation: int) -> None:
    """Let a JPEG be decoded at a part of its size, if that is enough or it is very large."""
    needed = next(s for s in _JPEG_SCALES if image.width * image.height <= MAX_PIXELS * s * s)
    if enough is not None:
        height, width = (max(1, math.ceil(side)) for side in enough)
        if orientation in _SIDEWAYS:
            height, width = width, height
        image.draft(None, (width, height))
    if needed > 1 and image.width * image.height > MAX_PIXELS:
        image.draft(None, (image.width // needed, image.height // needed))


def _decode_jpeg(image: Image.Image, data: bytes) -> Pixels | None:
    """The same pixels as Pillow's, faster, with every damage found; None if Pillow is to do it."""
    colors = {"RGB": "RGB", "L": "GRAY"}.get(image.mode)
    if simplejpeg is None or image.format != "JPEG" or colors is None:
        return None
    if not data.endswith(_END_OF_JPEG):  # Pillow finds out whether it is cut short
        return None
    width, height = image.size
    pixels: Pixels = simplejpeg.decode_jpeg(data, colors, min_height=height, min_width=width)
    if pixels.shape[:2] != (height, width):
        return None
    return np.repeat(pixels, 3, axis=2) if colors == "GRAY" else pixels


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info:  # getexif would decode a whole PNG to look further
        return 1
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  damaged metadata is no reason to lose the picture
        return 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the turn that the EXIF orientation describes."""
    turned = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: p[::-1].swapaxes(0, 1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: p[:, ::-1].swapaxes(0, 1),
    }.get(orientation)
    return pixels if turned is None else np.ascontiguousarray(turned(pixels))


def _resample(pixels: Pixels, taps: NDArray[np.int64], factors: NDArray[np.int32]) -> Pixels:
    """Make each line from the lines that it is made from, and round to bytes as Pillow does."""
    sums = np.full((len(taps), *pixels.shape[1:]), 1 << (_PRECISION_BITS - 1), np.int32)
    shape = (len(taps),) + (1,) * (pixels.ndim - 1)
    for tap, factor in zip(taps.T, factors.T):
        sums += pixels[tap].astype(np.int32) * factor.reshape(shape)
    return (sums >> _PRECISION_BITS).clip(0, 255).astype(np.uint8)
