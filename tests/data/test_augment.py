"""Image operations against torchvision's definitions, written again in NumPy and Pillow."""

from __future__ import annotations

import colorsys
import itertools
import math
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import stats

from s2bnn_tf.data import augment
from s2bnn_tf.data.crop import random_resized_crop, resized_crop, sample_crop_boxes

SEED = (3, 7)


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def torchvision_box(rng, height: int, width: int, scale) -> tuple[int, int, int, int]:
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w
    if width / height < 3 / 4:
        w, h = width, round(width / (3 / 4))
    elif width / height > 4 / 3:
        h, w = height, round(height * (4 / 3))
    else:
        h, w = height, width
    return (height - h) // 2, (width - w) // 2, h, w


def pillow_resize(image: np.ndarray, box, size: int) -> np.ndarray:
    """Crop and resize in Pillow's float mode, channel by channel, without rounding."""
    top, left, height, width = box
    planes = [
        Image.fromarray(image[..., channel])
        .crop((left, top, left + width, top + height))
        .resize((size, size), Image.Resampling.BILINEAR)
        for channel in range(3)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def gray_of(image: np.ndarray) -> np.ndarray:
    return (image @ np.array([0.2989, 0.587, 0.114]))[..., np.newaxis]


def turn_hue(image: np.ndarray, shift: float) -> np.ndarray:
    def turn(pixel):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
        return np.array(colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)) * 255

    return np.apply_along_axis(turn, -1, image)


def jitter_reference(image: np.ndarray, amounts, order) -> np.ndarray:
    image = image.astype(np.float64)
    for operation in order:
        amount = float(amounts[operation])
        if operation == augment.HUE:
            image = turn_hue(image, amount)
            continue
        other = {
            augment.BRIGHTNESS: 0.0,
            augment.CONTRAST: gray_of(image).mean(),
            augment.SATURATION: gray_of(image),
        }[operation]
        image = np.clip(amount * image + (1 - amount) * other, 0, 255)
    return image


@pytest.mark.parametrize(
    "height, width, scale",
    [(28, 28, (0.2, 1.0)), (375, 500, (0.08, 1.0)), (40, 100, (0.2, 1.0)), (20, 300, (0.2, 1.0))],
)
def test_crop_boxes_follow_torchvision(height, width, scale):
    count = 6000
    sizes = np.tile(np.array([height, width], np.int32), (count, 1))
    boxes = sample_crop_boxes(sizes, scale, SEED).numpy()
    rng = np.random.default_rng(1)
    expected = np.array([torchvision_box(rng, height, width, scale) for _ in range(count)])
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] > 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (height, width)).all()
    for column in range(4):
        assert stats.ks_2samp(boxes[:, column], expected[:, column]).pvalue > 0.01
    area, expected_area = boxes[:, 2] * boxes[:, 3], expected[:, 2] * expected[:, 3]
    assert stats.ks_2samp(area, expected_area).pvalue > 0.01


@pytest.mark.parametrize("height, width", [(1000, 10), (10, 1000), (1, 1)])
def test_an_image_no_crop_fits_in_gives_its_center(height, width):
    sizes = np.array([[height, width]], np.int32)
    box = sample_crop_boxes(sizes, (0.9, 1.0), SEED).numpy()[0]
    expected = torchvision_box(np.random.default_rng(0), height, width, (0.9, 1.0))
    np.testing.assert_array_equal(box, expected)


@pytest.mark.parametrize("size", [7, 32, 80])
def test_resized_crop_is_pillows(size):
    boxes = np.array([[0, 0, 40, 61], [3, 5, 20, 33], [39, 60, 1, 1], [10, 2, 7, 59]], np.int32)
    images = random_images(4, 40, 61, 3)
    result = resized_crop(images, boxes, size).numpy()
    for image, box, resized in zip(images, boxes, result):
        np.testing.assert_allclose(resized, pillow_resize(image, box, size), atol=2e-3)


def test_resized_crop_of_bytes_is_pillows_to_a_rounding():
    images = random_images(2, 50, 40, 3).astype(np.uint8)
    result = resized_crop(images, [[4, 6, 44, 30]] * 2, 16).numpy()
    for image, resized in zip(images, result):
        expected = Image.fromarray(image).crop((6, 4, 36, 48)).resize((16, 16), 2)
        assert np.abs(resized - np.asarray(expected, np.float32)).max() <= 1.01


def test_nothing_outside_the_box_is_sampled():
    images = np.full((1, 20, 20, 3), 255, np.uint8)
    images[:, 5:15, 4:16] = 10
    result = resized_crop(images, [[5, 4, 10, 12]], 6)
    np.testing.assert_allclose(result, np.full((1, 6, 6, 3), 10), rtol=1e-6)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_jitter_is_the_reference(order):
    images = random_images(3, 6, 5, 3)
    images[0, :3] = images[0, :3, :, :1]  # gray pixels have no hue
    images[1] = 0
    amounts = np.array(
        [[1.4, 0.6, 1.3, 0.1], [0.6, 1.4, 0.7, -0.1], [1.2, 1.35, 1.4, -0.07]], np.float32
    )
    result = augment.apply_jitter(images, amounts, np.tile(np.array(order, np.int32), (3, 1)))
    for image, amount, jittered in zip(images, amounts, result.numpy()):
        np.testing.assert_allclose(jittered, jitter_reference(image, amount, order), atol=0.01)


def test_images_of_one_batch_are_jittered_in_their_own_order():
    images = random_images(24, 4, 4, 3)
    orders = np.array(list(itertools.permutations(range(4))), np.int32)
    amounts = np.tile(np.array([[1.3, 0.7, 1.4, 0.08]], np.float32), (24, 1))
    result = augment.apply_jitter(images, amounts, orders).numpy()
    for image, amount, order, jittered in zip(images, amounts, orders, result):
        np.testing.assert_allclose(jittered, jitter_reference(image, amount, order), atol=0.01)


def test_jitter_draws_what_torchvision_draws():
    amounts, order = (values.numpy() for values in augment.sample_jitter(12_000, SEED))
    for column in range(3):
        assert stats.kstest(amounts[:, column], stats.uniform(0.6, 0.8).cdf).pvalue > 0.01
    assert stats.kstest(amounts[:, 3], stats.uniform(-0.1, 0.2).cdf).pvalue > 0.01
    assert np.abs(np.corrcoef(amounts.T) - np.eye(4)).max() < 0.03
    _, counts = np.unique(order, axis=0, return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize(
    "operation, probability",
    [
        (augment.color_jitter, 0.6),
        (augment.random_grayscale, 0.2),
        (augment.gaussian_blur, 0.5),
        (augment.random_flip, 0.5),
    ],
)
class TestRandomOperations:
    def test_changes_its_share_of_the_images(self, operation, probability):
        images = random_images(2000, 3, 4, 3)
        changed = np.any(operation(images, probability, SEED) != images, axis=(1, 2, 3))
        assert stats.binomtest(int(changed.sum()), 2000, probability).pvalue > 0.01

    def test_never_and_always(self, operation, probability):
        images = random_images(50, 3, 4, 3)
        np.testing.assert_array_equal(operation(images, 0.0, SEED), images)
        assert np.all(np.any(operation(images, 1.0, SEED) != images, axis=(1, 2, 3)))

    def test_the_same_eagerly_and_in_a_dataset(self, operation, probability):
        images = random_images(16, 9, 8, 3)
        dataset = tf.data.Dataset.from_tensors(images).map(
            lambda batch: operation(batch, probability, SEED)
        )
        np.testing.assert_allclose(
            next(iter(dataset)), operation(images, probability, SEED), atol=1e-3
        )

    def test_another_seed_gives_another_result(self, operation, probability):
        images = random_images(16, 9, 8, 3)
        again = operation(images, probability, SEED)
        np.testing.assert_array_equal(operation(images, probability, SEED), again)
        assert np.any(operation(images, probability, (3, 8)) != again)

    def test_gray_images_stay_gray_and_finite(self, operation, probability):
        gray = np.repeat(random_images(16, 9, 8, 1), 3, axis=-1)
        gray[0], gray[1] = 0, 255
        result = operation(gray, 1.0, SEED).numpy()
        assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 255.01
        np.testing.assert_allclose(result, np.repeat(result[..., :1], 3, axis=-1), atol=1e-2)


def test_gray_is_the_luma():
    images = random_images(5, 4, 4, 3)
    result = augment.random_grayscale(images, 1.0, SEED)
    np.testing.assert_allclose(result, np.repeat(gray_of(images), 3, axis=-1), rtol=1e-5)


def test_flip_mirrors_left_to_right():
    images = random_images(3, 4, 5, 3)
    np.testing.assert_array_equal(augment.random_flip(images, 1.0, SEED), images[:, :, ::-1])


@pytest.mark.only_with("2.15", "TensorFlow Addons")
def test_blur_is_that_of_tensorflow_addons():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow Addons announces its end of life
        from tensorflow_addons.image import gaussian_filter2d
    images = random_images(4, 30, 40, 3)
    sigma = [0.1, 0.5, 1.3, 2.0]
    result = augment.blur_by(images, tf.constant(sigma)).numpy()
    for image, spread, blurred in zip(images, sigma, result):
        expected = gaussian_filter2d(image, (25, 25), spread)
        np.testing.assert_allclose(blurred, expected, atol=0.01)


def test_sigma_of_the_blur_is_uniform():
    # The differences along a blurred edge are the Gaussian; their spread is its sigma.
    images = np.zeros((3000, 3, 40, 3), np.float32)
    images[:, :, 20:] = 255
    row = augment.gaussian_blur(images, 1.0, SEED).numpy()[:, 1, :, 0]
    weights = np.diff(row, axis=1) / 255
    position = np.arange(39) - 19
    sigma = np.sqrt((weights * position**2).sum(axis=1).clip(0))
    broad = sigma[sigma > 0.5]  # a narrower Gaussian is not what it says, sampled at pixels
    assert stats.kstest(broad, stats.uniform(0.5, 1.5).cdf).pvalue > 0.01
    assert stats.binomtest(len(broad), 3000, 1.5 / 1.9).pvalue > 0.01


def test_random_resized_crop_is_the_same_in_a_dataset():
    images = random_images(8, 20, 30, 3)

    def crop(batch):
        return random_resized_crop(batch, 12, (0.2, 1.0), SEED)

    dataset = tf.data.Dataset.from_tensors(images).map(crop)
    np.testing.assert_allclose(next(iter(dataset)), crop(images), atol=1e-3)


def test_normalize_is_imagenets():
    images = random_images(2, 3, 4, 3)
    expected = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(augment.normalize(images), expected, atol=1e-5)
    assert augment.normalize(images.astype(np.uint8)).dtype == tf.float32
