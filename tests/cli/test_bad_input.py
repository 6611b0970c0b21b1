"""A user's mistake, at every verb: one sentence that says what to do, and exit code 1 or 2."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from s2bnn_tf.cli import main
from s2bnn_tf.config import load_config
from s2bnn_tf.runs import RunDirectory, build_encoder, save_encoder

RECIPE = """
epochs: 1
data: {source: digits, image_size: 32, batch_size: 256}
student: {backbone: resnet18, width: 0.0625, embedding_dim: 8}
objective: {contrastive_weight: 1, distillation_weight: 0, queue_size: 64}
monitor: {knn_every: 0}
"""
TO_DISTIL = ["objective.contrastive_weight=0", "objective.distillation_weight=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recipes, runs, images and files, whole and broken."""
    root = tmp_path_factory.mktemp("bad")
    (root / "recipe.yaml").write_text(RECIPE)
    (root / "misspelled.yaml").write_text(RECIPE.replace("epochs", "epoch"))
    (root / "list.yaml").write_text("- a\n- b\n")
    (root / "nothing").mkdir()
    (root / "text").mkdir()
    (root / "text" / "cat.jpg").write_text("a cat")
    (root / "photos").mkdir()
    photograph = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)
    for number in range(3):
        Image.fromarray(photograph + 20 * number).save(root / "photos" / f"{number}.jpg")
    (root / "file").write_text("in the way")
    (root / "text.tflite").write_text("TFL3, or so it says")
    run, recipe = RunDirectory(root / "run"), load_config(root / "recipe.yaml")
    run.create(recipe)
    save_encoder(build_encoder(recipe), run)
    return root


def complaint(command: str, folder, *overrides: str) -> str:
    """What `s2bnn COMMAND` says, run to its refusal; @ in the command is the folder."""
    arguments = [word.replace("@", str(folder)) for word in command.split()]
    arguments += [part for override in overrides for part in ("--set", override)]
    done = CliRunner(mix_stderr=False).invoke(main, arguments)
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (1, 2)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train @/none.yaml --output-dir @/new", "Cannot read the recipe"),
        ("import-torch @/file @/new --image-size 4x320", "expected 224 or 96x320, at least 8"),
        ("import-torch @/file @/new --image-size wide", "expected 224 or 96x320, at least 8"),
        ("train @/misspelled.yaml --output-dir @/new", "epoch: unknown key; expected one of seed"),
        ("train @/list.yaml --output-dir @/new", "expected keys and values"),
        ("train @/file --output-dir @/new", "expected keys and values"),
        ("train @/recipe.yaml", "Missing option '--output-dir'"),
        ("train @/recipe.yaml --output-dir @/file", "is a file"),
        ("train @/recipe.yaml --output-dir @/file/below", "Not a directory"),
        ("train @/recipe.yaml --output-dir @/run --no-resume", "already holds a run; choose"),
        ("eval knn @/none", "does not exist; name a run directory, a published"),
        ("eval knn @/nothing", "is not a run directory"),
        ("eval linear @/text.tflite", "is not a whole TensorFlow Lite model"),
        ("eval knn @/run --data cifar", "Unknown data source 'cifar'; write digits"),
        ("eval knn @/run --data folder:@/nothing", "@/nothing"),
        ("eval linear @/run --data folder:@/text", "/text/cat.jpg: not an image)"),
        ("eval linear @/run --data folder:@/photos", "have no labels to compare with"),
        ("eval low-label @/run --labels many", "give a number of images per class, as in 10"),
        ("eval low-label @/run --labels 999", "fewer than 999; ask for fewer"),
        ("eval finetune @/text.tflite", "@/text.tflite"),
        ("eval finetune @/run --data folder:@/photos", "have no labels to compare with"),
        ("eval calibration @/run --teacher @/nothing", "is neither a run directory nor"),
        ("compare @/run", "@/run has no results yet; run `s2bnn eval knn @/run` first"),
        ("compare @/run @/run", "The same model is named twice"),
        ("compare @/nothing", "is neither a run directory nor a .tflite"),
        ("eval knn @/run --k 0", "0 is not in the range"),
        ("convert @/none @/new.tflite", "is not a run directory"),
        ("convert @/run @/new.tflite --head linear", "run `s2bnn eval linear` first"),
        ("convert @/run @/file/new.tflite", "@/file is in the way; move it"),
        ("benchmark @/none.tflite", "Cannot read"),
        ("benchmark @/text.tflite", "is not a whole TensorFlow Lite model"),
        ("embed @/run --output @/new.npz", "Missing argument 'IMAGES...'"),
        ("embed @/run @/none.jpg --output @/new.npz", "There is no image or folder"),
        ("embed @/run @/nothing --output @/new.npz", "There is no image in"),
        ("embed @/run @/text --output @/new.npz", "/text/cat.jpg: not an image)"),
        (
            "embed @/run @/photos --output @/file/new.npz",
            "@/file is in the way; move it, or choose another path",
        ),
        ("summary @/none", "Cannot read the recipe"),
        ("benchmark @", "@ is a folder; name the model in it, @/text.tflite."),
        ("deploy @/none.zip ssh://pi@raspberrypi/~/there", "There is no bundle @/none.zip"),
        ("fit @/file --output-dir @/new", "@/file is no folder; give the folder that"),
        ("fit @/none --output-dir @/new", "There is no folder @/none; check the path"),
        ("summary @/nothing", "is not a run directory"),
        ("demo --output-dir @/file", "is a file"),
        ("demo --output-dir @/file/below", "@/file is a file; choose another"),
    ],
)
def test_what_is_said(command, words, folder):
    said = complaint(command, folder)
    assert words.replace("@", str(folder)) in said
    sentences = [line for line in said.splitlines() if not line.startswith(("Usage:", "Try "))]
    assert len([line for line in sentences if line.startswith("Error: ")]) == 1
    assert not (folder / "new").exists()
    assert not (folder / "new.tflite").exists()
    assert not (folder / "new.npz").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.source=folder:@/nothing"], "@/nothing"),
        (["data.source=folder:@/text"], "/text/cat.jpg: not an image)"),
        (["data.source=folder:@/photos"], "fewer than one batch of 256"),
        (["data.source=idx:@/photos"], "@/photos"),
        (["student.backbone=alexnet"], "There is no backbone named 'alexnet'; choose one of"),
        (["student.backbone=reactnet", "student.stem=imagenet"], "needs images of 128 pixels"),
        (["student.binarize_weights=true"], "has no option 'binarize_weights'"),
        ([*TO_DISTIL], "teacher.weights: expected a run directory"),
        ([*TO_DISTIL, "teacher.weights=@/none"], "train a teacher first, or name one"),
        ([*TO_DISTIL, "teacher.weights=@/run", "student.head=none"], "embedding"),
        ([*TO_DISTIL, "teacher.weights=dinov2_vits41"], "Did you mean dinov2_vits14?"),
        (["student.init_from=@/none"], "is not a run directory"),
        (["student.init_from=@/run", "student.width=0.125"], "student.init_from"),
    ],
)
def test_what_is_said_of_a_recipe(overrides, words, folder):
    overrides = [override.replace("@", str(folder)) for override in overrides]
    said = complaint("train @/recipe.yaml --output-dir @/new", folder, *overrides)
    assert words.replace("@", str(folder)) in said
    assert said.count("Error: ") == 1
    assert not (folder / "new" / "checkpoints").exists()


def test_a_run_of_another_backbone_is_kept(folder):
    before = (folder / "run" / "encoder.weights.h5").read_bytes()
    said = complaint("train @/recipe.yaml --output-dir @/run", folder, "student.width=0.125")
    assert "cannot be resumed with another recipe (student.width: 0.0625, now 0.125)" in said
    assert (folder / "run" / "encoder.weights.h5").read_bytes() == before


def test_a_truncated_model_is_refused(folder, tmp_path):
    """A real model, cut: the interpreter would read beyond its end."""
    model = tmp_path / "whole.tflite"
    done = CliRunner().invoke(main, ["convert", str(folder / "run"), str(model)])
    assert done.exit_code == 0, done.output
    (tmp_path / "cut.tflite").write_bytes(model.read_bytes()[:-5000])
    for verb in ("benchmark", "eval knn", "embed"):
        rest = f" {folder}/photos --output {tmp_path}/new.npz" if verb == "embed" else ""
        assert "is not a whole TensorFlow Lite model" in complaint(
            f"{verb} {tmp_path}/cut.tflite{rest}", folder
        )


def test_a_damaged_probe_is_refused(folder):
    probe = folder / "run" / "eval" / "linear_probe.npz"
    probe.parent.mkdir(exist_ok=True)
    probe.write_bytes(b"PK\x03\x04cut")
    said = complaint("convert @/run @/new.tflite --head linear", folder)
    assert "is damaged (File is not a zip file); run `s2bnn eval linear` again" in said
    probe.unlink()


def test_odd_but_whole_images_are_read(folder, tmp_path):
    """CMYK, 16 bits, grayscale and transparent files are images; a truncated one is skipped."""
    gray = np.arange(40 * 40).reshape(40, 40)
    Image.fromarray(gray.astype(np.uint8)).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray((gray * 40).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(gray.astype(np.uint8)).save(tmp_path / "gray.bmp")
    Image.fromarray(gray.astype(np.uint8)).convert("RGBA").save(tmp_path / "clear.webp")
    whole = (folder / "photos" / "0.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    output = tmp_path / "out" / "new.npz"
    arguments = ["embed", str(folder / "run"), str(tmp_path), "--output", str(output)]
    done = CliRunner(mix_stderr=False).invoke(main, arguments)
    assert done.exit_code == 1, "as `s2bnn-run index` ends"
    assert done.stdout == f"4 images embedded in {output}.\n"
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"1 image cannot be read and was left out: {tmp_path / 'cut.jpg'} (")
    with np.load(output) as arrays:
        assert len(arrays["paths"]) == 4
        assert np.isfinite(arrays["features"]).all()
