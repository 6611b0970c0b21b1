"""From a path to numbers on disk, for runs and for files, and the paths that are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig
from s2bnn_tf.data import open_source
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation import (
    evaluate_finetune,
    evaluate_knn,
    evaluate_linear,
    evaluate_low_label,
    session,
    some_of,
)
from s2bnn_tf.report import read_gallery, read_mistakes
from s2bnn_tf.runs import LinearProbe, RunDirectory, build_encoder, save_encoder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory of a tiny untrained ResNet on the digits."""
    tf.keras.utils.set_random_seed(0)
    config = Config(
        objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0),
        data=DataConfig(source="digits", image_size=16, center_crop=1.0),
        student=StudentConfig(backbone="resnet18", stem="small", width=0.125, embedding_dim=8),
    )
    run = RunDirectory(tmp_path_factory.mktemp("run"))
    run.create(config)
    save_encoder(build_encoder(config), run)
    return run


@pytest.fixture
def model(monkeypatch, make_encoder, tmp_path):
    """A `.tflite` by its path, with features that a test can choose."""

    def make(**options):
        encoder = make_encoder(**options)
        encoder.path = tmp_path / "model.tflite"
        encoder.path.write_bytes(b"a model")
        monkeypatch.setattr(session, "open_encoder", lambda path, runtime: encoder)
        return encoder

    return make


def folder_of(path, classes):
    generator = np.random.default_rng(0)
    for split, names in classes.items():
        for name in names:
            (path / split / name).mkdir(parents=True, exist_ok=True)
            for i in range(4):
                pixels = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path / split / name / f"{i}.png")
    return f"folder:{path}"


def test_knn_of_a_run(run):
    reported = []
    result = evaluate_knn(run.path, progress=lambda *step: reported.append(step))
    assert json.loads((run.eval_dir / "knn.json").read_text()) == result
    expected = {
        "metric": "knn",
        "k": 20,
        "temperature": 0.07,
        "n_train": 1437,
        "n_test": 360,
        "data": "digits",
        "classes": 10,
        "image_size": 16,
        "center_crop": 1.0,
        "unreadable_images": 0,
    }
    assert expected.items() <= result.items()
    assert 0.5 < result["top1"] < 1, "even an untrained network separates digits"
    assert read_gallery(run.path).query_labels.tolist() == list(range(10))
    assert reported[-1][1:] == (360, 360)


def test_some_of_the_images(run):
    """Large sources are measured by some images, drawn from all over, always the same ones."""
    results = [evaluate_knn(run.path, most=300) for _ in range(2)]
    assert results[0] == results[1]
    assert (results[0]["n_train"], results[0]["n_test"]) == (300, 300)
    source = open_source("digits", "train")
    drawn = some_of(source, 300)
    assert len(set(drawn.labels.tolist())) == 10 and not np.array_equal(
        drawn.labels, source.labels[:300]
    )
    assert some_of(source, None) is source


def test_linear_of_a_run(run):
    result = evaluate_linear(run.path)
    assert json.loads((run.eval_dir / "linear.json").read_text()) == result
    probe = LinearProbe.load(run.eval_dir / "linear_probe.npz")
    assert probe.metrics["top1"] == result["top1"]
    assert probe.class_names == tuple("0123456789")
    assert probe.kernel.shape == (result["feature_dim"], 10)
    assert {**probe.parameters, **probe.metrics}.items() <= result.items()
    assert result["protocol"] == "fast"


def test_the_papers_protocol_on_another_source(tmp_path, model):
    encoder = model()
    data = folder_of(tmp_path / "photos", {"train": ("a", "b"), "test": ("a", "b")})
    result = evaluate_linear(
        encoder.path, data, protocol="paper", epochs=1, learning_rate=0.3, batch_size=4, seed=5
    )
    expected = {"protocol": "paper", "epochs": 1, "learning_rate": 0.3, "batch_size": 4, "seed": 5}
    assert {**expected, "data": data, "n_train": 8}.items() <= result.items()
    assert result["hint"] == (
        "It was trained for 2 steps, which is too short to judge by; give more --epochs."
    )
    (written,) = (tmp_path / "model.eval" / "transfer").glob("*/linear.json")
    assert json.loads(written.read_text()) == result
    assert not (tmp_path / "model.eval" / "linear.json").exists(), "for its own images only"
    probe = LinearProbe.load(tmp_path / "model.eval" / "linear_probe.npz")
    assert probe.class_names == ("a", "b"), "the probe that `s2bnn convert --head linear` takes"


def test_a_linear_head_is_measured_as_it_is(tmp_path, model, make_encoder):
    """Its logits are right for every image whose brightest color channel names the class."""
    projection = np.tile(np.eye(3, dtype=np.float32), (64, 1))  # (192, 3): sums of each channel
    encoder = model(projection=projection, head="linear")
    data = folder_of(tmp_path / "photos", {s: ("b", "g", "r") for s in ("train", "test")})
    for i, name in enumerate(("b", "g", "r")):
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[..., i] = 200
        for j in range(4):
            wrong = name == "r" and j == 0
            image = np.roll(pixels, 1, axis=-1) if wrong else pixels
            Image.fromarray(image).save(tmp_path / "photos" / "test" / name / f"{j}.png")
    result = evaluate_linear(encoder.path, data)
    assert result["top1"] == pytest.approx(11 / 12)
    assert result["protocol"] == "own classifier"
    assert not (tmp_path / "model.eval" / "linear_probe.npz").exists()


def test_a_linear_head_of_other_classes_is_refused(tmp_path, model):
    encoder = model(projection=np.zeros((192, 7), np.float32), head="linear")
    with pytest.raises(UserError, match="7 classes, which are not the 10 of digits"):
        evaluate_linear(encoder.path)
    assert not (tmp_path / "model.eval").exists()


def test_a_linear_head_with_other_names_is_refused(tmp_path, model):
    encoder = model(projection=np.zeros((192, 10), np.float32), head="linear")
    encoder.labels = [f"animal {i}" for i in range(10)]
    with pytest.raises(UserError, match="name images of its classes"):
        evaluate_linear(encoder.path)


@pytest.mark.parametrize("measure", [evaluate_knn, evaluate_linear])
def test_images_without_labels_are_refused(tmp_path, model, measure):
    encoder = model()
    (tmp_path / "photos").mkdir()
    for i in range(3):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "photos" / f"{i}.png")
    with pytest.raises(UserError, match="no labels .*one subfolder per class"):
        measure(encoder.path, f"folder:{tmp_path / 'photos'}")


def test_a_test_split_without_class_folders_is_refused(tmp_path, model):
    encoder = model()
    data = folder_of(tmp_path / "photos", {"train": ("a", "b"), "test": (".",)})
    with pytest.raises(UserError, match="The test images .* have no labels"):
        evaluate_knn(encoder.path, data)


def test_images_beside_the_class_folders_are_left_out(tmp_path, model):
    encoder = model()
    data = folder_of(tmp_path / "photos", {"train": ("a", "b", "."), "test": ("a", "b", ".")})
    result = evaluate_knn(encoder.path, data)
    assert (result["n_train"], result["n_test"]) == (8, 8)
    assert evaluate_linear(encoder.path, data)["n_train"] == 8


def test_a_file_that_does_not_record_its_images(model):
    encoder = model()
    encoder.data_source = None
    with pytest.raises(UserError, match="--data"):
        evaluate_knn(encoder.path)


def test_the_mistakes_of_a_probe_are_kept(tmp_path, model, make_encoder):
    """Of four test images per class, one red image has the label of green."""
    encoder = model(projection=np.tile(np.eye(3, dtype=np.float32), (64, 1)))
    folder_of(tmp_path / "photos", {s: ("g", "r") for s in ("train", "test")})
    for split in ("train", "test"):
        for name, channel in (("g", 1), ("r", 0)):
            for i in range(4):
                pixels = np.zeros((8, 8, 3), np.uint8)
                wrong = split == "test" and name == "g" and i == 2
                pixels[..., 0 if wrong else channel] = (200 if split == "test" else 100) + i
                Image.fromarray(pixels).save(tmp_path / "photos" / split / name / f"{i}.png")
    encoder.data_source = f"folder:{tmp_path / 'photos'}"
    assert evaluate_linear(encoder.path)["top1"] == 7 / 8
    mistakes = read_mistakes(encoder.path)
    np.testing.assert_array_equal(mistakes.confusion, [[3, 1], [0, 4]])
    assert mistakes.class_names.tolist() == ["g", "r"]
    assert (mistakes.labels.tolist(), mistakes.predicted.tolist()) == ([0], [1])
    assert mistakes.images[0, 0, 0].tolist() == [202, 0, 0]
    assert 0.5 < mistakes.confidence[0] <= 1


def test_few_labels(run):
    result = evaluate_low_label(run.path, amounts=["2", "10%"], draws=3)
    assert json.loads((run.eval_dir / "low_label.json").read_text()) == result
    few, tenth = (result["amounts"][amount] for amount in ("2", "10%"))
    assert few["n_train"] == 20
    assert tenth["n_train"] == pytest.approx(144, abs=5)
    assert 0.1 < few["top1"] < tenth["top1"] < 1
    low, high = tenth["confidence_interval"]
    assert low < tenth["top1"] < high
    assert tenth["top1"] == pytest.approx(np.mean(tenth["top1_of_draws"]))


def test_fine_tuning_trains_everything_and_leaves_the_run_alone(tmp_path, tiny_backbone):
    tf.keras.utils.set_random_seed(0)
    config = Config(
        objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0),
        data=DataConfig(source="digits", image_size=16, center_crop=1.0),
        student=StudentConfig(backbone="tiny_real", embedding_dim=8),
    )
    run = RunDirectory(tmp_path)
    run.create(config)
    save_encoder(build_encoder(config), run)
    before = run.weights_path.read_bytes()
    result = evaluate_finetune(
        tmp_path, labels="50%", epochs=6, batch_size=48, learning_rate=2e-2, min_crop=0.6
    )
    assert json.loads((run.eval_dir / "finetune.json").read_text()) == result
    assert run.weights_path.read_bytes() == before
    expected = {"metric": "finetune", "labels": "50%", "n_train": 718, "n_test": 360}
    assert expected.items() <= result.items()
    assert result["augmentation"]["crop_scale"] == [0.6, 1.0]
    assert 0.2 < result["top1"] < 1, "far above chance"
    assert result["steps"] == 6 * 15
    assert "trained for 90 steps" in result["hint"]
    standing = {"labels": "50%", "epochs": 1, "batch_size": 718, "learning_rate": 1e-9}
    whole, again, parts = (
        evaluate_finetune(tmp_path, min_crop=share, **standing)["final_training_loss"]
        for share in (1.0, 1.0, 0.08)
    )
    assert abs(whole - again) < 1e-6 < 1e-5 < abs(whole - parts), "other crops are learned from"
    with pytest.raises(UserError, match="diverged .*smaller"):
        evaluate_finetune(tmp_path, labels="5", epochs=1, batch_size=10, learning_rate=1e30)


def test_a_deployed_file_cannot_be_fine_tuned(model):
    with pytest.raises(UserError, match="run directory"):
        evaluate_finetune(model().path)


def test_what_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(UserError):
        evaluate_knn(tmp_path)
