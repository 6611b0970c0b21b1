"""The device sees what the host saw: the same files, and the same pixels of each."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from s2bnn_tf.data import labeled_dataset, open_images
from s2bnn_tf.data.pictures import decode, failure_reason, upright_size

ROOT = Path(__file__).resolve().parent.parent
SIZE, KEPT = 48, 0.875


@pytest.fixture(scope="module")
def device():
    """The runtime's module that loads pictures, without what only hosts have installed."""
    sys.path.insert(0, str(ROOT / "runtime"))
    try:
        from s2bnn_runtime import images, pictures
    finally:
        sys.path.remove(str(ROOT / "runtime"))
    before, pictures.simplejpeg = pictures.simplejpeg, None
    yield images
    pictures.simplejpeg = before


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pictures as cameras, scanners and web sites store them, and files that are none."""
    from sklearn.datasets import load_sample_image

    root = tmp_path_factory.mktemp("photos")
    whole = Image.fromarray(load_sample_image("china.jpg"))
    small = whole.resize((160, 107))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        small.save(root / f"turned-{orientation}.jpg", exif=exif, quality=90)
    small.save(root / "plain.png")
    small.save(root / "progressive.jpg", progressive=True)
    small.convert("L").save(root / "gray.jpg")
    small.convert("CMYK").save(root / "cmyk.jpg")
    small.convert("P").save(root / "palette.gif")
    small.convert("1").save(root / "one-bit.png")
    small.save(root / "photo.webp")
    small.save(root / "scan.tiff")
    Image.fromarray(np.asarray(small.convert("L"), np.uint16) * 200).save(root / "16-bits.png")
    transparent = small.convert("RGBA")
    transparent.putalpha(Image.radial_gradient("L").resize(small.size))
    transparent.save(root / "transparent.png")
    transparent.convert("LA").save(root / "gray-transparent.png")
    small.convert("P").save(root / "palette-transparent.png", transparency=7)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    small.save(root / "profile.png", icc_profile=profile.tobytes())
    whole.resize((90, 1200)).save(root / "tall.png")
    whole.resize((3000, 4)).save(root / "thin.png")
    whole.save(root / "large.jpg")
    (root / "._plain.png").write_bytes(b"of a Mac")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "plain.png").write_bytes(b"of a Mac")
    (root / "notes.txt").write_text("no picture")
    return root


def on_host(path: Path, shape: tuple[int, int, int] = (SIZE, SIZE, 3)) -> np.ndarray:
    height, width, channels = shape
    dataset = labeled_dataset(
        open_images([path]),
        image_size=(height, width),
        batch_size=1,
        center_crop=KEPT,
        channels=channels,
    )
    ((batch, _),) = dataset.as_numpy_iterator()
    return batch


def test_one_file_is_in_both_packages():
    host = ROOT / "s2bnn_tf" / "data" / "pictures.py"
    assert host.read_bytes() == (ROOT / "runtime/s2bnn_runtime/pictures.py").read_bytes()


def test_the_same_files_of_a_folder(device, folder):
    host = open_images([folder])
    assert list(host.paths) == device.picture_files([folder])
    assert len(host) == 24 and not host.unreadable


@pytest.mark.parametrize("shape", [(SIZE, SIZE, 3), (24, 80, 3), (80, 24, 3), (24, 80, 1)])
def test_the_same_pixels_of_every_kind(device, folder, shape):
    detail = {"shape": (1, *shape), "dtype": np.float32}
    for path in device.picture_files([folder]):
        seen = device.load_image(path, detail, device.Preprocessing.RAW, kept=KEPT)
        assert seen.shape == (1, *shape)
        np.testing.assert_array_equal(seen, on_host(path, shape), err_msg=path.name)


def test_kinds_are_what_they_should_be(device, folder):
    """Against the plain picture: all kinds that lose nothing are equal to it."""
    plain = on_host(folder / "plain.png")
    for name in ("scan.tiff", "profile.png"):
        np.testing.assert_array_equal(on_host(folder / name), plain, err_msg=name)
    for orientation in (3, 6, 8):  # turned back, they show another part of the picture
        turned = decode((folder / f"turned-{orientation}.jpg").read_bytes())
        stored = decode((folder / "turned-1.jpg").read_bytes())
        quarter = {3: 2, 6: 3, 8: 1}[orientation]
        np.testing.assert_array_equal(turned, np.rot90(stored, quarter))
    middle = decode((folder / "transparent.png").read_bytes())[53, 80]  # of a radial gradient
    assert (middle > 250).all(), "transparent pixels are white"
    deep = decode((folder / "16-bits.png").read_bytes())
    assert deep.max() > 190 and len(np.unique(deep)) > 50, "scaled, not clipped"


def jpeg_of(height: int, width: int) -> io.BytesIO:
    """A small JPEG whose header claims another size."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return io.BytesIO(bytes(data))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_jpegs_may_be_larger_than_other_pictures():
    assert upright_size(jpeg_of(14000, 14000)) == (14000, 14000)
    with pytest.raises(Image.DecompressionBombError) as error:
        upright_size(jpeg_of(14000, 15000))
    assert failure_reason(error.value) == "more than 200 megapixels"
    file = io.BytesIO()
    Image.new("1", (10000, 10000)).save(file, "PNG")
    with pytest.raises(Image.DecompressionBombError) as error:
        upright_size(file)
    assert failure_reason(error.value) == "more than 89 megapixels"


@pytest.mark.slow
def test_a_photo_of_108_megapixels_is_read_alike(device, tmp_path):
    from sklearn.datasets import load_sample_image

    path = tmp_path / "phone.jpg"
    Image.fromarray(load_sample_image("china.jpg")).resize((12000, 9000)).save(path, quality=70)
    detail = {"shape": (1, SIZE, SIZE, 3), "dtype": np.float32}
    seen = device.load_image(path, detail, device.Preprocessing.RAW, kept=KEPT)
    np.testing.assert_array_equal(seen, on_host(path))
