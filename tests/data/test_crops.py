"""Crops that are drawn once: the views show exactly those, each in its turn."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from s2bnn_tf.data import (
    ArraySource,
    Augmentation,
    Crops,
    batch_indices,
    crop_dataset,
    draw_crops,
    normalize,
    open_images,
    view_dataset,
)
from s2bnn_tf.data.pixels import resize

SIZE, CROPS, COUNT = 8, 3, 10
RANDOM = Augmentation((0.2, 1.0), 0.0, 0.0, 0.0, 0.5)


@pytest.fixture(params=["memory", "files"])
def source(request, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 24, 36, 3)).astype(np.uint8)
    if request.param == "memory":
        return ArraySource("noise", "train", None, (), pixels)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    return open_images([tmp_path])


@pytest.fixture
def crops(source) -> Crops:
    return draw_crops(source, RANDOM, CROPS, seed=5, view=SIZE)


def cut(source, crops: Crops, image: int, crop: int) -> np.ndarray:
    """The view written out: cut, shrink, mirror, normalize."""
    sides = source.read(image).shape[:2]
    top, left, height, width = np.round(crops.boxes[image, crop] * np.tile(sides, 2)).astype(int)
    part = source.read(image)[top : top + height, left : left + width]
    if isinstance(source, ArraySource):
        picture = Image.fromarray(part).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        view = np.asarray(picture)
    else:
        view = resize(part, SIZE)
    view = view[:, ::-1] if crops.flips[image, crop] else view
    return normalize(tf.constant(view[None])).numpy()[0]


def test_crops_are_inside_and_as_varied_as_asked(source, crops):
    assert crops.boxes.shape == (COUNT, CROPS, 4) and crops.flips.shape == (COUNT, CROPS)
    corners, sizes = crops.boxes[..., :2], crops.boxes[..., 2:]
    assert (corners >= 0).all() and (corners + sizes <= 1 + 1e-6).all()
    assert 0.15 < sizes.prod(axis=-1).min() and len(np.unique(crops.boxes)) > COUNT * CROPS
    assert 0.2 < crops.flips.mean() < 0.8
    again, other = (draw_crops(source, RANDOM, CROPS, seed=s, view=SIZE) for s in (5, 6))
    np.testing.assert_array_equal(again.boxes, crops.boxes)
    assert (other.boxes != crops.boxes).any()


def test_the_dataset_has_every_crop_in_order(source, crops):
    def read(first: int) -> np.ndarray:
        made = crop_dataset(source, crops, image_size=SIZE, channels=3, images=4, first=first)
        return np.concatenate(list(made.as_numpy_iterator()))

    whole = read(0)
    expected = [cut(source, crops, i, k) for i in range(COUNT) for k in range(CROPS)]
    np.testing.assert_allclose(whole[: COUNT * CROPS], expected, atol=0.03)
    np.testing.assert_array_equal(read(8)[: 2 * CROPS], whole[8 * CROPS : COUNT * CROPS])


@pytest.mark.parametrize("views", [1, 2])
def test_the_first_view_shows_a_crop_and_every_crop_has_its_turn(source, crops, views):
    made = view_dataset(
        source,
        RANDOM,
        image_size=SIZE,
        batch_size=5,
        views=views,
        seed=1,
        crops=crops,
        placed=True,
    )
    seen = []
    for step, batch in enumerate(made.take(2 * CROPS).as_numpy_iterator()):
        *shown, places = batch
        assert len(shown) == views
        images, chosen = divmod(places, CROPS)
        np.testing.assert_array_equal(images, batch_indices(COUNT, 5, seed=1, step=step))
        expected = [cut(source, crops, i, k) for i, k in zip(images, chosen)]
        np.testing.assert_allclose(shown[0], expected, atol=0.03)
        seen += places.tolist()
    assert sorted(seen) == list(range(COUNT * CROPS)), "in as many epochs as there are crops"


def test_a_run_resumed_sees_the_same_crops_and_changes(source, crops):
    def batch(first_step: int, skipped: int):
        made = view_dataset(
            source,
            Augmentation((0.2, 1.0), 1.0, 0.2, 0.2, 0.5),
            image_size=SIZE,
            batch_size=5,
            views=2,
            seed=1,
            crops=crops,
            placed=True,
            first_step=first_step,
        )
        return next(iter(made.skip(skipped)))

    for ours, theirs in zip(batch(3, 0), batch(0, 3)):
        np.testing.assert_array_equal(ours, theirs)


def test_places_without_crops_are_the_images(source):
    made = view_dataset(source, RANDOM, image_size=SIZE, batch_size=5, views=1, seed=1, placed=True)
    view, places = next(iter(made))
    assert view.shape == (5, SIZE, SIZE, 3)
    np.testing.assert_array_equal(places, batch_indices(COUNT, 5, seed=1, step=0))
