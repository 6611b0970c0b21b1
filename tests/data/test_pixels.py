"""Operations on large images in bytes, against Pillow and the operations on batches."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from s2bnn_tf.data import normalize, pixels
from s2bnn_tf.data.pictures import decode

SIZE = 96


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    return load_sample_images().images


def by_pillow(image: np.ndarray, how=Image.Resampling.BILINEAR, size: int = SIZE) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((size, size), how)).astype(int)


@pytest.mark.parametrize("height, width", [(60, 80), (97, 90), (115, 130), (150, 140), (190, 170)])
@pytest.mark.parametrize("larger", [1, 2])
def test_resizing_is_pillows_antialiased_one(height, width, larger, photographs):
    for photograph in photographs:
        crop = photograph[20 : 20 + larger * height, 30 : 30 + larger * width]
        difference = np.abs(pixels.resize(crop, SIZE) - by_pillow(crop))
        assert difference.mean() < 2
        assert np.quantile(difference, 0.99) < 17


@pytest.mark.parametrize("shrinks", [1.25, 1.5, 1.75, 2, 2.5, 3, 4])
def test_what_is_too_fine_for_the_result_is_averaged(shrinks):
    """Noise: each value of the result is the mean of as many pixels as the area it stands for."""
    side = round(shrinks * SIZE)
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3)).astype(np.uint8)
    deviation = pixels.resize(noise, SIZE).std()
    assert deviation <= 1.01 * noise.std() / shrinks
    assert deviation < 1.6 * by_pillow(noise).std()


def test_a_crop_is_resized_without_its_surroundings(photographs):
    image = np.zeros((300, 300, 3), np.uint8)
    image[100:250, 100:250] = 200
    assert (pixels.resize(image[100:250, 100:250], SIZE) == 200).all()


def test_a_plain_jpeg_has_pillows_pixels(photographs, tmp_path):
    path = tmp_path / "a.jpg"
    for subsampling in (0, 2):
        Image.fromarray(photographs[0]).save(path, quality=85, subsampling=subsampling)
        with Image.open(path) as image:
            np.testing.assert_array_equal(decode(path.read_bytes()), np.asarray(image))


@pytest.mark.parametrize("size", [5, 96])
def test_a_batch_is_normalized_where_tensorflow_takes_it_over(size):
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3)).astype(np.uint8)
    result = pixels.normalize_batch(images)
    np.testing.assert_allclose(result, normalize(images), atol=1e-5)
    assert result.ctypes.data % 64 == 0 and result.flags.c_contiguous
