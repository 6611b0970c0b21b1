"""Published teachers: named, downloaded and imported once, and refused when they were changed."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from s2bnn_tf.backbones import register_backbone
from s2bnn_tf.cli import main
from s2bnn_tf.config import Config, DataConfig, MonitorConfig, StudentConfig, TeacherConfig
from s2bnn_tf.environment import cache_directory
from s2bnn_tf.errors import CheckpointError, ConfigError
from s2bnn_tf.progress import no_progress
from s2bnn_tf.report import read_column
from s2bnn_tf.report.table import describe_protocol
from s2bnn_tf.runs import RunDirectory, load_encoder, read_origin
from s2bnn_tf.teachers import PUBLISHED, Published, get_teacher, load_teacher, teacher_origin
from s2bnn_tf.training import pretrain

keras = tf.keras

NAME = "narrow_resnet18"
URL = "https://publisher.example/narrow.pth"


@register_backbone("colors_alone")
def colors(input_shape) -> keras.Model:
    layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(6)]
    return keras.Sequential([keras.Input(input_shape), *layers])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def published(server, monkeypatch, cache) -> Published:
    """A narrow network, published on loopback."""
    torch = pytest.importorskip("torch")
    publishers = pytest.importorskip("oracle.publishers")
    file = io.BytesIO()
    torch.save(publishers.torchvision().content, file)
    server.answers["/publisher.example/narrow.pth"] = [lambda h: h.send_whole(file.getvalue())]
    monkeypatch.setenv("S2BNN_MIRROR", server.url)
    entry = Published(
        NAME,
        "resnet18_w0.125",
        0.2,
        "in a test",
        50.0,
        "CC0",
        URL,
        "https://publisher.example",
        image_size=96,
    )
    monkeypatch.setitem(PUBLISHED, NAME, entry)
    return entry


def test_a_name_is_downloaded_and_imported_once(published, server, cache):
    run = get_teacher(NAME, no_progress)
    assert run.path == cache / "teachers" / NAME
    assert get_teacher(NAME, no_progress).config == run.config
    assert len(server.requests) == 1
    facts = read_origin(run.path)
    assert facts["license"] == "CC0"
    assert facts["name"] == NAME
    assert len(facts["sha256"]) == 64
    assert {path.name for path in (cache / "teachers").iterdir()} == {NAME}


def test_a_name_is_a_teacher_that_sees_its_own_size(published):
    teacher = load_teacher(TeacherConfig(weights=NAME), image_size=32)
    inner = load_teacher(TeacherConfig(weights=NAME, image_size=96), image_size=96)
    assert teacher.backbone.input_shape == (None, 32, 32, 3)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    large = images.repeat(3, axis=1).repeat(3, axis=2)
    assert teacher(images).shape == inner(large).shape == (2, 64)
    flat = np.ones((1, 32, 32, 3), np.float32)
    np.testing.assert_allclose(teacher(flat), inner(np.ones((1, 96, 96, 3))), atol=1e-6)


@pytest.mark.parametrize("changed", ["encoder.weights.h5", "config.yaml", "origin.json"])
def test_a_cache_that_was_changed_is_refused(changed, published, cache):
    run = get_teacher(NAME, no_progress)
    path = run.path / changed
    path.write_bytes(path.read_bytes()[:-1] + b"#")
    with pytest.raises(CheckpointError, match=f"delete .*{NAME}"):
        load_teacher(TeacherConfig(weights=NAME), image_size=32)


def test_what_an_interrupted_import_left_is_replaced(published, cache):
    for name in (NAME, f"{NAME}.begun"):
        folder = cache / "teachers" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("half")
    assert RunDirectory(get_teacher(NAME, no_progress).path).weights_path.is_file()
    assert {path.name for path in (cache / "teachers").iterdir()} == {NAME}


def test_a_file_that_is_no_checkpoint_is_named(published, server, cache):
    server.answers["/publisher.example/narrow.pth"] = [lambda h: h.send_whole(b"nothing" * 9)]
    with pytest.raises(CheckpointError, match=f"{NAME} cannot be imported: .* Delete .*narrow.pth"):
        get_teacher(NAME, no_progress)
    assert not (cache / "teachers" / NAME).exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dinov2_vits41", r"Did you mean dinov2_vits14\?"),
        ("DINOv2-ViTB14", r"Did you mean dinov2_vitb14\?"),
        ("moco_v2", "There is no published teacher named 'moco_v2'. Did you mean moco_v2_.00ep"),
        ("zebra", "There are dinov2_vits14, "),
        ("dinov3_vits16", "only to those who accept its license at https://ai.meta.com"),
    ],
)
def test_a_misspelt_name(name, words, cache):
    with pytest.raises(ConfigError, match=words):
        get_teacher(name, no_progress)
    if name != "zebra":
        with pytest.raises(CheckpointError, match=words.partition("'. ")[2] or words):
            load_teacher(TeacherConfig(weights=name), image_size=32)


def test_a_path_of_that_name_comes_first(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dinov2_vits14").mkdir()
    with pytest.raises(CheckpointError, match="nor a .keras, .onnx or .tflite file"):
        load_teacher(TeacherConfig(weights="dinov2_vits14"), image_size=32)


def test_the_command_line_lists_and_gets(published, cache):
    done = CliRunner().invoke(main, ["teachers", "get", NAME, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["run"] == str(cache / "teachers" / NAME)
    listed = CliRunner().invoke(main, ["teachers", "--json"])
    rows = {row["name"]: row for row in json.loads(listed.stdout.splitlines()[-1])["teachers"]}
    assert rows[NAME]["cached"]
    assert not rows["dinov2_vits14"]["cached"]
    table = CliRunner().invoke(main, ["teachers"]).stdout
    row = next(line for line in table.splitlines() if line.startswith(NAME))
    assert row.split()[6:9] == ["CC0", "1", "yes"]
    wrong = CliRunner().invoke(main, ["teachers", "get", "dinov2_vits41"])
    assert wrong.exit_code == 1
    assert "Did you mean dinov2_vits14?" in wrong.output


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv("S2BNN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_directory() == tmp_path / "s2bnn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "s2bnn"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_directory() == tmp_path / "Library" / "Caches" / "s2bnn"


def test_every_published_teacher_has_a_source_and_an_own_file():
    files = [f"{published.url}" for published in PUBLISHED.values()]
    assert len(set(files)) == len(files)
    for name, published in PUBLISHED.items():
        assert name == published.name
        assert published.url.startswith("https://")
        assert published.source.startswith("https://")
        assert published.license
        assert published.linear_probe is None or 50 < published.linear_probe < 90


@pytest.mark.parametrize(
    ("view", "side"), [((64, 64), 128), ((96, 320), 128), ((97, 97), 224), ((320, 320), 224)]
)
def test_small_views_are_scaled_less_where_that_suffices(view, side):
    assert PUBLISHED["efficientnet_lite0"].size_for(view) == side
    assert PUBLISHED["dinov2_vits14"].size_for(view) == 224


def test_the_license_reaches_the_run_that_it_guides(published, tmp_path):
    get_teacher(NAME, no_progress)
    config = Config(
        steps=2,
        data=DataConfig(source="digits", image_size=32, batch_size=8),
        student=StudentConfig(backbone="colors_alone", embedding_dim=16),
        teacher=TeacherConfig(weights=NAME),
        monitor=MonitorConfig(knn_every=0),
    )
    run = pretrain(config, tmp_path / "run")
    assert read_origin(run.path)["license"] == "CC0"
    # And that of a run which such a run guides, or which is read again.
    assert teacher_origin(str(run.path)) == teacher_origin(NAME)
    assert read_column(run.path, "run").origin["source"] == "https://publisher.example"
    assert any("under the license CC0" in s for s in describe_protocol([read_column(run.path, "")]))
    # The head fits the 64 features of the teacher, whatever the recipe says, also when resumed.
    assert run.config.student.embedding_dim == 64
    assert load_encoder(run.path).embedding_dim == 64
    assert pretrain(config, run.path).config == run.config
