"""View datasets and labeled datasets, from memory and from files."""

from __future__ import annotations

import dataclasses
import itertools
import logging
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
    batch_indices,
    labeled_dataset,
    normalize,
    open_source,
    steps_per_epoch,
    view_dataset,
)
from s2bnn_tf.data import order as order_module
from s2bnn_tf.data.augment import augment_view
from s2bnn_tf.data.crop import random_resized_crop
from s2bnn_tf.data.order import VIEWS, epoch_order, fold_seed
from s2bnn_tf.errors import UserError

pytestmark = pytest.mark.both_sets

LIGHT = Augmentation((0.2, 1.0), 0.6, 0.2, 0.2, 0.5)
PLAIN = Augmentation((1.0, 1.0), 0.0, 0.0, 0.0, 0.0)


def numbered_source(count: int) -> ArraySource:
    """Each image is one flat color, its own number."""
    images = (
        np.ones((count, 6, 6, 3), np.uint8) * np.arange(count, dtype=np.uint8)[:, None, None, None]
    )
    return ArraySource("numbers", "train", np.arange(count), (), images)


@pytest.fixture
def numbered_folder(tmp_path: Path) -> Path:
    for number in range(10):
        rng = np.random.default_rng(number)
        pixels = np.full((30 + number, 40, 3), number * 20) + rng.integers(
            0, 9, (30 + number, 40, 3)
        )
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{number}.jpg", quality=95)
    return tmp_path


@pytest.fixture(params=["memory", "files"])
def source(request, numbered_folder) -> ImageSource:
    if request.param == "files":
        return open_source(f"folder:{numbered_folder}")
    return open_source("digits").select(range(10))


def batches(dataset, count: int) -> list[list[np.ndarray]]:
    return [[view.numpy() for view in batch] for batch in dataset.take(count)]


def numbers_of(views: np.ndarray) -> np.ndarray:
    images = views * IMAGENET_STD + IMAGENET_MEAN
    return np.round(images[:, 0, 0, 0] * 255).astype(int)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def test_each_epoch_is_another_permutation_without_its_remainder():
    dataset = view_dataset(numbered_source(50), PLAIN, image_size=4, batch_size=8, views=1, seed=0)
    assert steps_per_epoch(numbered_source(50), 8) == 6
    numbers = np.array([numbers_of(batch[0]) for batch in batches(dataset, 12)])
    epochs = numbers.reshape(2, 48)
    for epoch in epochs:
        assert len(set(epoch)) == 48 and set(epoch) <= set(range(50))
    assert not np.array_equal(*epochs)


@pytest.mark.parametrize("views", [1, 2])
def test_views_are_normalized_batches(source, views):
    dataset = view_dataset(source, LIGHT, image_size=16, batch_size=5, views=views, seed=0)
    assert len(dataset.element_spec) == views
    for spec in dataset.element_spec:
        assert spec.shape == (5, 16, 16, 3) and spec.dtype == "float32"
    batch = batches(dataset, 1)[0]
    lowest, highest = (normalize(np.full((1, 1, 1, 3), end)).numpy() for end in (0, 255))
    for view in batch:
        assert np.isfinite(view).all()
        assert (view >= lowest - 1e-4).all() and (view <= highest + 1e-4).all()


def test_two_views_of_an_image_differ(source):
    query, key = batches(
        view_dataset(source, LIGHT, image_size=16, batch_size=5, views=2, seed=0), 1
    )[0]
    assert (np.abs(query - key).max(axis=(1, 2, 3)) > 1e-3).all()


def test_two_views_show_the_same_images():
    dataset = view_dataset(numbered_source(9), PLAIN, image_size=4, batch_size=9, views=2, seed=0)
    query, key = batches(dataset, 1)[0]
    np.testing.assert_array_equal(numbers_of(query), numbers_of(key))


def test_views_depend_on_the_seed_alone(source):
    def first(seed):
        return batches(
            view_dataset(source, LIGHT, image_size=16, batch_size=4, views=2, seed=seed), 3
        )

    five = first(5)
    np.testing.assert_array_equal(five, first(5))
    assert np.any(np.array(five) != first(6))


@pytest.mark.parametrize("images_at_a_time", [4, 2])
def test_a_dataset_from_a_later_step_is_the_tail(source, images_at_a_time, monkeypatch):
    monkeypatch.setattr(order_module, "_CHUNK_VALUES", images_at_a_time * 2 * 16 * 16 * 3)
    options = {"image_size": 16, "batch_size": 4, "views": 2, "seed": 1}
    whole = batches(view_dataset(source, LIGHT, **options), 6)
    for first_step in (1, 4):  # within an epoch of two steps, at the start of one
        tail = batches(view_dataset(source, LIGHT, first_step=first_step, **options), 2)
        np.testing.assert_array_equal(whole[first_step : first_step + 2], tail)


def test_no_thread_has_to_wake_up_before_an_iterator_is_let_go_of(source):
    """The autotuning thread sleeps up to a minute, and holds up a training that is stopped."""
    views = view_dataset(source, LIGHT, image_size=8, batch_size=4, views=1, seed=0)
    labeled = labeled_dataset(source, image_size=8, batch_size=4, center_crop=1.0)
    assert views.options().autotune.enabled is False
    assert labeled.options().autotune.enabled is False


def test_the_dataset_is_the_operations_run_eagerly():
    source = open_source("digits").select(range(12))
    dataset = view_dataset(source, LIGHT, image_size=32, batch_size=12, views=1, seed=2)
    chosen = tf.gather(source.images, epoch_order(12, 2, 0))
    seeds = tf.random.split(fold_seed(2, VIEWS, 0))
    crops = random_resized_crop(chosen, 32, LIGHT.crop_scale, seeds[0])
    expected = augment_view(crops, LIGHT, seeds[1])
    np.testing.assert_allclose(batches(dataset, 1)[0][0], expected, atol=1e-4)


@pytest.mark.parametrize("replicas, pipelines", [(2, 1), (2, 2), (3, 1), (3, 3), (4, 2)])
def test_replicas_get_the_parts_of_the_same_batches(source, replicas, pipelines):
    """Each image once an epoch, with the same draws, whichever pipeline feeds which device."""
    options = {"image_size": 16, "batch_size": 12, "views": 2, "seed": 1, "first_step": 1}
    source = source.select([*range(10), *range(10), *range(10)])
    whole = batches(view_dataset(source, LIGHT, **options), 3)
    fed = replicas // pipelines
    shared = {"replicas": replicas, "pipelines": pipelines}
    parts = [
        batches(view_dataset(source, LIGHT, **options, **shared, pipeline=i), 3 * fed)
        for i in range(pipelines)
    ]
    for step in range(3):
        mine = [part[step * fed + j] for part in parts for j in range(fed)]
        for view in range(2):
            joined = np.concatenate([replica[view] for replica in mine])
            np.testing.assert_allclose(joined, whole[step][view], atol=1e-5)


def test_the_batch_of_a_step_is_told(source):
    dataset = view_dataset(numbered_source(50), PLAIN, image_size=4, batch_size=8, views=1, seed=3)
    for step, batch in enumerate(batches(dataset, 8)):
        expected = batch_indices(50, 8, seed=3, step=step)
        np.testing.assert_array_equal(numbers_of(batch[0]), expected)


def test_a_source_smaller_than_a_batch_is_refused():
    with pytest.raises(UserError, match="9 train images, fewer than one batch of 10"):
        view_dataset(numbered_source(9), PLAIN, image_size=4, batch_size=10, views=1, seed=0)


def test_a_truncated_file_is_replaced_in_views(numbered_folder, caplog):
    truncate(numbered_folder / "3.jpg")
    source = open_source(f"folder:{numbered_folder}")
    with caplog.at_level(logging.WARNING):
        dataset = view_dataset(source, LIGHT, image_size=8, batch_size=10, views=2, seed=0)
        once = batches(dataset, 2)
    assert [Path(name).name for name in source.unreadable] == ["3.jpg"]
    assert "3.jpg: truncated" in caplog.text
    fresh = open_source(f"folder:{numbered_folder}")
    again = batches(
        view_dataset(fresh, LIGHT, image_size=8, batch_size=10, views=2, seed=0, first_step=1), 1
    )
    np.testing.assert_array_equal(once[1:], again)


def test_a_truncated_file_is_left_out_with_its_label(numbered_folder):
    (numbered_folder / "a").mkdir()
    for number in range(10):
        (numbered_folder / f"{number}.jpg").rename(numbered_folder / "a" / f"{number}.jpg")
    source = open_source(f"folder:{numbered_folder}")
    labels = np.arange(len(source))
    source = dataclasses.replace(source, labels=labels)
    truncate(source.paths[2])
    expected = np.delete(labels, 2)
    for crop_scale in (None, (0.08, 1.0)):
        result = labeled_dataset(
            source, image_size=8, batch_size=3, center_crop=1.0, crop_scale=crop_scale
        )
        images, found = (list(part) for part in zip(*result))
        assert [len(batch) for batch in images] == [3, 3, 1]
        assert sorted(np.concatenate(found)) == expected.tolist()


def resize_reference(image: np.ndarray, size: int, center_crop: float) -> np.ndarray:
    """torchvision's Resize and CenterCrop, by Pillow."""
    height, width = image.shape[:2]
    shorter = round(size / center_crop)
    if height <= width:
        new = (int(shorter * width / height), shorter)
    else:
        new = (shorter, int(shorter * height / width))
    resized = np.asarray(Image.fromarray(image).resize(new, Image.Resampling.BILINEAR))
    top, left = (round((side - size) / 2) for side in resized.shape[:2])
    return resized[top : top + size, left : left + size]


@pytest.mark.parametrize("size, center_crop", [(32, 1.0), (32, 0.875), (16, 1.0), (13, 0.8)])
def test_labeled_images_are_resized_and_centered(source, size, center_crop):
    dataset = labeled_dataset(source, image_size=size, batch_size=4, center_crop=center_crop)
    images, labels = (np.concatenate(list(part)) for part in zip(*dataset))
    assert images.shape == (10, size, size, 3) and images.dtype == np.float32
    assert labels.dtype == np.int64
    expected_labels = np.full(10, -1) if source.labels is None else source.labels
    np.testing.assert_array_equal(labels, expected_labels)
    for index, image in enumerate(images):
        expected = resize_reference(source.read(index), size, center_crop)
        assert np.abs(image - expected).max() <= 1.01
    assert [len(batch) for batch, _ in dataset] == [4, 4, 2]


def test_a_wide_image_is_centered():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 21, 47, 3)).astype(np.uint8)
    source = ArraySource("wide", "test", None, (), pixels)
    dataset = labeled_dataset(source, image_size=18, batch_size=1, center_crop=0.875)
    image = next(iter(dataset))[0][0].numpy()
    assert np.abs(image - resize_reference(pixels[0], 18, 0.875)).max() <= 1.01


def test_augmented_labeled_images_keep_their_labels_and_range(source):
    source = dataclasses.replace(source, labels=np.arange(10))

    def epoch(seed):
        parts = zip(
            *labeled_dataset(
                source,
                image_size=12,
                batch_size=4,
                center_crop=1.0,
                crop_scale=(0.08, 1.0),
                seed=seed,
            )
        )
        return [np.concatenate(list(part)) for part in parts]

    images, labels = epoch(0)
    assert sorted(labels) == list(range(10)) and images.shape == (10, 12, 12, 3)
    assert images.min() >= 0 and 30 < images.max() <= 255.01
    np.testing.assert_array_equal(images, epoch(0)[0])
    assert not np.array_equal(labels, epoch(1)[1])
    for image, label in itertools.islice(zip(images, labels), 5):
        assert abs(image.mean() - source.read(int(label)).mean()) < 90


def test_a_crop_scale_of_one_keeps_square_images_whole():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    source = ArraySource("squares", "train", np.arange(20), (), pixels)
    whole, half = (
        labeled_dataset(source, image_size=8, batch_size=20, center_crop=1.0, crop_scale=scale)
        for scale in ((1.0, 1.0), (0.5, 0.5))
    )
    images, labels = (part.numpy() for part in next(iter(whole)))
    flipped = pixels[labels][:, :, ::-1]
    kept = [np.abs(images - p).max(axis=(1, 2, 3)) < 0.01 for p in (pixels[labels], flipped)]
    assert np.all(kept[0] ^ kept[1]) and kept[0].any() and kept[1].any()
    images, labels = (part.numpy() for part in next(iter(half)))
    assert np.abs(images - pixels[labels]).max(axis=(1, 2, 3)).min() > 10


def test_augmented_labels_belong_to_their_images():
    dataset = labeled_dataset(
        numbered_source(30), image_size=4, batch_size=7, center_crop=1.0, crop_scale=(0.08, 1.0)
    )
    for images, labels in dataset:
        np.testing.assert_allclose(images[:, 0, 0, 0], labels, atol=1e-3)
