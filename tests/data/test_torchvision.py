"""Augmentation against torchvision itself: tests/golden/torchvision.npz holds what it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from s2bnn_tf.data import augment
from s2bnn_tf.data.crop import resized_crop, sample_crop_boxes

GOLDEN = Path(__file__).parents[1] / "golden" / "torchvision.npz"
SEEDS = [(seed, 7) for seed in range(10)]
PER_SEED = 600


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        return dict(arrays)


def assert_same_distribution(ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
    """Kolmogorov-Smirnov. With fixed seeds the outcome is fixed too."""
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01, what


@pytest.mark.parametrize("size", [(375, 500), (96, 96), (40, 200)])
def test_crops_are_drawn_alike(size, golden):
    height, width = size
    sizes = np.tile(np.array(size, np.int32), (PER_SEED, 1))
    ours = np.concatenate([sample_crop_boxes(sizes, (0.2, 1.0), seed) for seed in SEEDS])
    theirs = golden[f"crop_{height}x{width}"].astype(np.int32)
    our_measures, their_measures = (measure_boxes(boxes, size) for boxes in (ours, theirs))
    for name, values in our_measures.items():
        assert_same_distribution(values, their_measures[name], name)


def measure_boxes(boxes: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    top, left, height, width = boxes.T
    return {
        "area": height * width,
        "aspect": width / height,
        "top": top,
        "left": left,
        "middle": (top + height / 2) / size[0],
        "center": (left + width / 2) / size[1],
    }


def test_jitter_is_drawn_alike(golden):
    drawn = [augment.sample_jitter(PER_SEED, seed) for seed in SEEDS]
    amounts = np.concatenate([amounts for amounts, _ in drawn])
    orders = np.concatenate([order for _, order in drawn])
    for column, name in enumerate(("brightness", "contrast", "saturation", "hue")):
        assert_same_distribution(amounts[:, column], golden["jitter"][:, column], name)

    def counts(orders: np.ndarray) -> np.ndarray:
        return np.bincount(orders @ (64, 16, 4, 1), minlength=256)

    both = np.stack([counts(orders), counts(golden["jitter_order"])])
    both = both[:, both.any(axis=0)]
    assert both.shape[1] == 24  # all orders, in equal shares
    assert stats.chi2_contingency(both).pvalue > 0.01


def test_blur_is_drawn_alike(golden, monkeypatch):
    sigmas = []

    def record(images, sigma):
        sigmas.append(sigma.numpy())
        return images

    monkeypatch.setattr(augment, "blur_by", record)
    for seed in SEEDS:
        augment.gaussian_blur(tf.zeros((PER_SEED, 1, 1, 3)), 1.0, seed)
    assert_same_distribution(np.concatenate(sigmas), golden["blur_sigma"], "sigma")


@pytest.mark.parametrize(
    ("name", "operation", "probability"),
    [
        ("grey", augment.random_grayscale, 0.2),
        ("flip", augment.random_flip, 0.5),
        ("blur", augment.gaussian_blur, 0.2),
    ],
)
def test_as_many_images_change(name, operation, probability, golden):
    images = np.random.default_rng(0).uniform(0, 255, (PER_SEED, 4, 4, 3)).astype(np.float32)
    changed = np.concatenate(
        [
            np.abs(operation(images, probability, seed) - images).max(axis=(1, 2, 3)) > 1e-3
            for seed in SEEDS
        ]
    )
    theirs = golden[f"changed_{name}"]
    table = [[part.sum(), (~part).sum()] for part in (changed, theirs)]
    assert stats.chi2_contingency(table).pvalue > 0.01


def test_resized_crops_have_the_same_pixels(golden):
    picture = np.tile(golden["picture"], (len(golden["boxes"]), 1, 1, 1))
    ours = resized_crop(picture, golden["boxes"], 32).numpy()
    np.testing.assert_allclose(ours, golden["crops"], atol=1e-3)
    # What S2-BNN ran works on images in bytes, and rounds them after each direction.
    np.testing.assert_allclose(ours, golden["crops_pillow"], atol=1.01)


def test_jitter_makes_the_same_pixels(golden):
    amounts, orders = golden["amounts"], golden["orders"].astype(np.int32)
    count = len(amounts) * len(orders)
    images = np.tile(golden["small"], (count, 1, 1, 1))
    ours = augment.apply_jitter(
        tf.constant(images),
        tf.constant(np.repeat(amounts, len(orders), axis=0)),
        tf.constant(np.tile(orders, (len(amounts), 1))),
    )
    np.testing.assert_allclose(ours, golden["jittered"], atol=2e-3)


def test_gray_and_blur_make_the_same_pixels(golden):
    images = tf.constant(golden["small"][np.newaxis])
    np.testing.assert_allclose(augment.to_gray(images)[0], golden["grey"], atol=1e-3)
    sigmas = golden["sigmas"].astype(np.float32)
    ours = augment.blur_by(tf.tile(images, (len(sigmas), 1, 1, 1)), tf.constant(sigmas)).numpy()
    # torchvision's kernel ends after 7 pixels, at 3.5 sigma for the widest.
    np.testing.assert_allclose(ours, golden["blurred"], atol=0.05)


def test_pillows_blur_of_moco_is_a_few_levels_off(golden):
    """Pillow, which MoCo uses, approximates the Gaussian by three box filters."""
    sigmas = golden["sigmas"].astype(np.float32)
    images = np.tile(golden["picture"].astype(np.float32), (len(sigmas), 1, 1, 1))
    ours = augment.blur_by(tf.constant(images), tf.constant(sigmas)).numpy()
    difference = np.abs(ours - golden["blurred_pillow"]).mean(axis=(1, 2, 3))
    assert difference.max() < 2.0
