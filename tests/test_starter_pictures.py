"""What the scripts of the starter and of the emoji make of the packages that they read."""

from __future__ import annotations

import json
from pathlib import Path

import emoji
import numpy as np
import pytest
import starter
import starter_pictures
from PIL import Image

from s2bnn_tf.config import load_config
from s2bnn_tf.data import open_source
from s2bnn_tf.recipes import config_path


def picture(path: Path, size: tuple[int, int], color=(200, 10, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def test_every_picture_is_gathered_once_and_small(tmp_path):
    picture(tmp_path / "clip" / "animals" / "cat.png", (400, 800))
    (tmp_path / "clip" / "pets").mkdir()
    (tmp_path / "clip" / "pets" / "cat.png").symlink_to(tmp_path / "clip" / "animals" / "cat.png")
    (tmp_path / "clip" / "broken.png").write_bytes(b"no picture")
    for name in ("1f600", "1f44d", "1f44d-1f3fb"):
        picture(tmp_path / "emoji" / f"{name}.png", (64, 64))
    noise = np.random.default_rng(0).integers(0, 256, (90, 160, 3)).astype(np.uint8)
    (tmp_path / "walls").mkdir()
    for name in ("hill", "hill_3840x2160"):
        Image.fromarray(noise).save(tmp_path / "walls" / f"{name}.png")
    places = starter_pictures.Places(tmp_path / "clip", (tmp_path / "walls",), tmp_path / "emoji")
    counts = starter_pictures.gather(places, tmp_path / "all")
    assert counts == {"backgrounds": 80, "clipart": 1, "emoji": 2}
    source = open_source(f"folder:{tmp_path / 'all'}")
    assert len(source) == 83 and source.labels is None  # and nothing is held out
    sides = [min(source.read(index).shape[:2]) for index in range(len(source))]
    assert max(sides) == starter_pictures.SIDE == 160
    assert starter_pictures.gather(places, tmp_path / "all") == counts  # there is nothing to do


@pytest.mark.parametrize("budget", sorted(starter.BUDGETS))
def test_the_starters_recipes_are_possible(budget, tmp_path):
    class options:
        teacher, overrides = "efficientnet_lite0", []

    options.budget = budget
    for number, changes in enumerate(starter.recipe(options, tmp_path).values(), 1):
        config = load_config(config_path(f"fit/regression_step{number}.yaml"), changes)
        assert config.teacher.cache and config.steps == starter.BUDGETS[budget].steps[number - 1]


def test_the_accuracy_counts_every_picture_once():
    labels = np.repeat([0, 1], 40)
    features = np.stack([np.cos(labels), np.sin(labels)], axis=1).astype(np.float32)
    assert starter.accuracy(features, labels) == 1.0
    wrong = labels.copy()
    wrong[:4] = 1
    assert starter.accuracy(features, wrong) == pytest.approx(0.95)


@pytest.fixture
def packages(tmp_path) -> Path:
    listed = []
    for number in range(20):
        entry = {"image": f"{number:02}.png", "category": "Food & Drink", "has_img_google": True}
        listed.append({**entry, "has_img_twitter": number != 3})
        for vendor in emoji.VENDORS:
            color = (9 * number, 90, 200 * (vendor == "google"))
            picture(tmp_path / "img" / vendor / "64" / entry["image"], (64, 64), color)
    listed.append({**listed[0], "image": "skin.png", "category": "Component"})
    (tmp_path / "emoji.json").write_text(json.dumps(listed))
    return tmp_path


def test_an_emoji_is_on_one_side_in_both_styles(packages, tmp_path):
    folder = emoji.lay_out(packages, tmp_path / "pictures")
    train, test = (open_source(f"folder:{folder}", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (32, 6)  # 19 that both vendors have
    assert train.class_names == ("food-and-drink",)
    codes = [{Path(p).stem.split("-")[0] for p in source.paths} for source in (train, test)]
    assert not codes[0] & codes[1] and "03" not in codes[0] | codes[1]


def test_retrieval_is_of_the_other_vendor(packages, tmp_path):
    test = open_source(f"folder:{emoji.lay_out(packages, tmp_path / 'pictures')}", "test")
    vendors = [Path(p).stem.split("-")[1] for p in test.paths]
    codes = np.array([int(Path(p).stem.split("-")[0]) for p in test.paths])
    # Each vendor has its own corner, and is nearest to itself, but in it the emoji have one order.
    features = np.stack([np.cos(codes / 9), np.sin(codes / 9)], axis=1)
    features = np.concatenate([features, [[9 * (v == "google")] for v in vendors]], axis=1)
    assert emoji.retrieval(features.astype(np.float32), test) == 1.0
    one = np.array(vendors) == "google"
    features[one] = features[one][::-1]  # three emoji, of which the middle one stays
    assert emoji.retrieval(features.astype(np.float32), test) == pytest.approx(1 / 3)
