"""Views and centers that are not square, or gray, against slow references."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from s2bnn_tf.data import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ArraySource,
    Augmentation,
    ImageSource,
    labeled_dataset,
    normalize,
    open_source,
    see,
    view_dataset,
)
from s2bnn_tf.data.augment import GRAY_MEAN, GRAY_STD
from s2bnn_tf.data.crop import CROP_TRIES, sample_crop_boxes
from s2bnn_tf.data.order import VIEWS, epoch_order, fold_seed
from s2bnn_tf.data.pixels import normalize_batch

ONLY_CROPS = Augmentation((0.3, 1.0), 0.0, 0.0, 0.0, 0.0)
EVERYTHING = Augmentation((0.3, 1.0), 1.0, 0.3, 0.5, 0.5)
COUNT = 8
PICTURE = 60, 90  # pixels, height and width


def smooth(number: int) -> np.ndarray:
    """A picture without sharp edges, on which all ways to resize nearly agree."""
    small = np.random.default_rng(number).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize(PICTURE[::-1], Image.Resampling.BICUBIC))


def gray(number: int) -> np.ndarray:
    return np.asarray(Image.fromarray(smooth(number)).convert("L").convert("RGB"))


def source_of(kind: str, folder: Path, picture=smooth) -> ImageSource:
    images = [picture(number) for number in range(COUNT)]
    if kind == "memory":
        return ArraySource("pictures", "train", np.arange(COUNT), (), np.stack(images))
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    return open_source(str(folder))


def slow_boxes(sizes, scale, seed, high: int, wide: int) -> list[tuple[int, ...]]:
    """torchvision's RandomResizedCrop with `ratio`, try by try, from the same random numbers."""
    seeds = tf.random.split(seed, 3)
    shape = (len(sizes), CROP_TRIES)
    shares = tf.random.stateless_uniform(shape, seeds[0], *scale).numpy()
    ends = [math.log(ratio * wide / high) for ratio in (3 / 4, 4 / 3)]
    aspects = np.exp(tf.random.stateless_uniform(shape, seeds[1], *ends).numpy())
    places = tf.random.stateless_uniform((len(sizes), 2), seeds[2]).numpy()
    boxes = []
    for (height, width), share, aspect, place in zip(sizes, shares, aspects, places):
        for area, ratio in zip(height * width * share, aspect):
            h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < h <= height and 0 < w <= width:
                top, left = (int(p * (s + 1)) for p, s in zip(place, (height - h, width - w)))
                boxes.append((top, left, h, w))
                break
        else:
            h = min(height, round(width / (3 / 4 * wide / high)))
            w = min(width, round(height * (4 / 3 * wide / high)))
            boxes.append(((height - h) // 2, (width - w) // 2, h, w))
    return boxes


@pytest.mark.parametrize("view", [(24, 80), (80, 24), (32, 32)])
def test_boxes_are_drawn_around_the_aspect_of_the_view(view):
    sizes = np.array([PICTURE] * 200 + [(300, 40)] * 50 + [(40, 500)] * 50, np.int32)
    seed = tf.constant([3, 1])
    boxes = sample_crop_boxes(sizes, (0.2, 1.0), seed, view=view).numpy()
    np.testing.assert_array_equal(boxes, slow_boxes(sizes, (0.2, 1.0), seed, *view))
    ratio = boxes[:, 3] / boxes[:, 2] * view[0] / view[1]
    assert (ratio > 0.7).all() and (ratio < 1.45).all()  # to rounding


def test_a_box_has_at_least_one_pixel():
    boxes = sample_crop_boxes([[400, 1], [1, 400]], (0.9, 1.0), tf.constant([0, 0]), view=(8, 80))
    assert (boxes.numpy()[:, 2:] >= 1).all()


@pytest.mark.parametrize("kind", ["memory", "files"])
@pytest.mark.parametrize("size", [(24, 80), (80, 24)])
def test_views_of_a_rectangle_are_pillows(kind, size, tmp_path):
    source = source_of(kind, tmp_path)
    dataset = view_dataset(source, ONLY_CROPS, image_size=size, batch_size=COUNT, views=1, seed=5)
    assert dataset.element_spec[0].shape == (COUNT, *size, 3)
    (view,) = next(iter(dataset))
    order = epoch_order(COUNT, 5, 0).numpy()
    chunk = COUNT if kind == "memory" else 4
    expected = []
    for number in range(COUNT // chunk):
        crop_seed = tf.unstack(tf.random.split(fold_seed(5, VIEWS, number)), axis=0)[0]
        boxes = slow_boxes([PICTURE] * chunk, ONLY_CROPS.crop_scale, crop_seed, *size)
        for index, (top, left, h, w) in zip(order[number * chunk :], boxes):
            picture = Image.fromarray(smooth(index)).crop((left, top, left + w, top + h))
            expected.append(np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR)))
    levels = 255 * (view.numpy() * IMAGENET_STD + IMAGENET_MEAN)
    difference = np.abs(levels - np.stack(expected))
    assert difference.mean() < 0.5
    assert difference.max() < (1.5 if kind == "memory" else 8)


@pytest.mark.parametrize("kind", ["memory", "files"])
@pytest.mark.parametrize("size", [(24, 80), (80, 24), (7, 9)])
def test_a_center_covers_the_rectangle(kind, size, tmp_path):
    source = source_of(kind, tmp_path)
    dataset = labeled_dataset(source, image_size=size, batch_size=3, center_crop=0.8)
    images = np.concatenate([batch for batch, _ in dataset.as_numpy_iterator()])
    scale = max(round(side / 0.8) / length for side, length in zip(size, PICTURE))
    whole = [int(length * scale + 1e-9) for length in PICTURE]
    top, left = (round((length - side) / 2) for length, side in zip(whole, size))
    for number, image in enumerate(images):
        resized = Image.fromarray(smooth(number)).resize(whole[::-1], Image.Resampling.BILINEAR)
        expected = np.asarray(resized)[top : top + size[0], left : left + size[1]]
        assert np.abs(image - expected).max() <= (1.01 if kind == "memory" else 0)


@pytest.mark.parametrize("kind", ["memory", "files"])
@pytest.mark.parametrize("size", [16, (12, 40)])
def test_gray_views_are_one_channel_of_the_views_of_gray_pictures(kind, size, tmp_path):
    source = source_of(kind, tmp_path, gray)
    options = {"image_size": size, "batch_size": COUNT, "views": 2, "seed": 2}
    for color, one in zip(
        next(iter(view_dataset(source, EVERYTHING, **options))),
        next(iter(view_dataset(source, EVERYTHING, **options, channels=1))),
    ):
        assert one.shape[1:] == (*color.shape[1:3], 1)
        levels = 255 * (one.numpy() * GRAY_STD + GRAY_MEAN)
        expected = 255 * (color.numpy() * IMAGENET_STD + IMAGENET_MEAN)
        assert np.abs(levels - expected).max() < 2.5  # colors are rounded more often


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_colors_become_their_luma(kind, tmp_path):
    source = source_of(kind, tmp_path)
    dataset = labeled_dataset(
        source, image_size=(20, 30), batch_size=COUNT, center_crop=1.0, channels=1
    )
    ((images, _),) = dataset.as_numpy_iterator()
    assert images.shape == (COUNT, 20, 30, 1)
    for number, image in enumerate(images):
        luma = Image.fromarray(smooth(number)).convert("L")
        expected = np.asarray(luma.resize((30, 20), Image.Resampling.BILINEAR))
        assert np.abs(image[..., 0] - expected).max() <= (1.01 if kind == "memory" else 0)


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_random_crops_of_a_probe_have_the_shape(kind, tmp_path):
    source = source_of(kind, tmp_path, gray)
    options = {"batch_size": 3, "center_crop": 1.0, "crop_scale": (0.3, 1.0), "seed": 1}
    color, one = (
        [batch for batch, _ in labeled_dataset(source, image_size=(12, 40), channels=c, **options)]
        for c in (3, 1)
    )
    for many, single in zip(color, one, strict=True):
        assert single.shape[1:] == (12, 40, 1)
        np.testing.assert_allclose(single[..., 0], many[..., 0], atol=1e-3)


def test_what_is_gray_keeps_every_value():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = np.repeat(values[..., np.newaxis], 3, axis=2)
    np.testing.assert_array_equal(see(picture, (16, 16, 1), 1.0)[..., 0], values)


def test_one_channel_is_normalized_by_the_means_of_three():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    expected = (images / 255 - 0.449) / 0.226
    np.testing.assert_allclose(normalize(images), expected, atol=1e-5)
    np.testing.assert_allclose(normalize_batch(images), expected, atol=1e-5)
    assert pytest.approx((np.mean(IMAGENET_MEAN), np.mean(IMAGENET_STD))) == (GRAY_MEAN, GRAY_STD)
