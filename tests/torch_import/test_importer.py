"""Every published checkpoint is imported exactly, and nothing else is."""

from __future__ import annotations

import json
import os
import pickle
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from s2bnn_tf.cli import main
from s2bnn_tf.errors import CheckpointError, ConfigError, ModelError, UserError
from s2bnn_tf.runs import load_encoder
from s2bnn_tf.torch_import import import_torch

torch = pytest.importorskip("torch")
publishers = pytest.importorskip("oracle.publishers")

PUBLISHERS = (
    "torchvision",
    "moco_v1",
    "moco_v2",
    "moco_v3",
    "simsiam",
    "swav",
    "dino",
    "barlow_twins",
    "lightly",
    "lightlys_own",
    "s2bnn",
    "s2bnn_probe",
)


def photographs(size: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)


def oracle_embeddings(network, images: np.ndarray) -> np.ndarray:
    """Embeddings `(B, D)` of unit length, from images `(B, H, W, 3)`."""
    with torch.no_grad():
        outputs = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    return torch.nn.functional.normalize(outputs).numpy()


@pytest.mark.parametrize("name", PUBLISHERS)
def test_a_published_checkpoint_gives_the_embeddings_of_its_network(name, save, tmp_path):
    published = getattr(publishers, name)()
    size = 128 if published.backbone == "reactnet" else 64
    record = import_torch(save(published.content), tmp_path / "run", image_size=size)
    assert record["named_as"] == published.named_as
    assert record["architecture"] == f"{published.backbone}_w0.125"
    assert record["head"] == published.head
    assert sum(len(names) for names in record["ignored"].values()) == published.ignored
    encoder = load_encoder(tmp_path / "run")
    images = photographs(size)
    expected = oracle_embeddings(published.network, images)
    np.testing.assert_allclose(encoder(images), expected, atol=2e-6)


@pytest.fixture(scope="module")
def student():
    return publishers.torchvision()


@pytest.fixture(scope="module")
def expected(student):
    return oracle_embeddings(student.network, photographs(64))


@pytest.mark.parametrize("zipped", [True, False])
def test_zip_and_legacy_format(zipped, save, student, expected, tmp_path):
    path = save(student.content, "weights.pt", _use_new_zipfile_serialization=zipped)
    assert (path.read_bytes()[:2] == b"PK") == zipped
    import_torch(path, tmp_path / "run", image_size=64)
    np.testing.assert_allclose(load_encoder(tmp_path / "run")(photographs(64)), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_number_types(dtype, save, student, tmp_path):
    content = {
        name: value.to(getattr(torch, dtype)) if value.is_floating_point() else value
        for name, value in student.content.items()
    }
    import_torch(save(content), tmp_path / "run", image_size=64)
    kernel = load_encoder(tmp_path / "run").backbone.get_layer("stem_conv").kernel.numpy()
    stored = content["conv1.weight"].float().permute(2, 3, 1, 0).numpy()
    np.testing.assert_array_equal(kernel, stored[::-1, ::-1])


def test_other_image_sizes_give_what_pytorch_gives(save, student, tmp_path):
    import_torch(save(student.content), tmp_path / "run", image_size=64)
    for size in (32, 63, 97):
        images = photographs(size)
        encoder = load_encoder(tmp_path / "run", image_size=size)
        expected = oracle_embeddings(student.network, images)
        np.testing.assert_allclose(encoder(images), expected, atol=1e-6, err_msg=str(size))


class Malicious:
    """Unpickled, it runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("form", ["pickle", "zip", "legacy"])
def test_a_file_that_wants_to_execute_code_is_refused(form, tmp_path, save):
    sign = tmp_path / "executed"
    content = {"conv1.weight": torch.ones(1), "evil": Malicious(sign)}
    if form == "pickle":
        path = tmp_path / "checkpoint.pth"
        path.write_bytes(pickle.dumps(content["evil"], protocol=2))
    else:
        path = save(content, "c.pth", _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(
        CheckpointError, match=r"c.*\.pth was not opened: .*execute code \(posix.system"
    ):
        import_torch(path, tmp_path / "run")
    assert not sign.exists()
    assert not (tmp_path / "run").exists()
    # Opened carelessly, the same file executes its code.
    if form != "pickle":
        torch.load(path, weights_only=False)
        assert sign.exists()


def test_a_pickle_of_a_newer_protocol_is_not_opened_either(tmp_path):
    path, sign = tmp_path / "checkpoint.pth", tmp_path / "executed"
    path.write_bytes(pickle.dumps(Malicious(sign), protocol=4))
    with pytest.raises(CheckpointError, match="or holds more than plain tensors"):
        import_torch(path, tmp_path / "run")
    assert not sign.exists()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cut, "is not a whole PyTorch checkpoint"),
        (lambda data: b"", "is not a whole PyTorch checkpoint"),
        (lambda data: b"hello world", "is not a whole PyTorch checkpoint"),
        (lambda data: b"PK\x03\x04" + data[4:200], "is not a whole PyTorch checkpoint"),
    ],
)
def test_a_damaged_file(change, words, save, student, tmp_path):
    path = save(student.content)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointError, match=words):
        import_torch(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_absent_file(tmp_path):
    for name in ("a.pth", "a.safetensors"):
        with pytest.raises(CheckpointError, match=f"There is no file .*{name}"):
            import_torch(tmp_path / name, tmp_path / "run")


def without(name: str):
    return lambda tensors: tensors.pop(name)


def put(name: str, *shape: int):
    return lambda tensors: tensors.update({name: torch.ones(shape)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("layer3.1.bn2.running_var"), "it lacks .*: layer3.1.bn2.running_var"),
        (without("fc.bias"), "it lacks .*: fc.bias"),
        (put("layer4.1.extra", 3), "it has more than .*: layer4.1.extra"),
        (
            put("layer2.0.conv1.weight", 16, 8, 1, 1),
            "wrong shape for .*: layer2.0.conv1.weight is 16x8x1x1 and not 16x8x3x3",
        ),
        (put("layer4.0.bn1.weight", 63), "layer4.0.bn1.weight is 63 and not 64"),
        (put("layer1.0.conv3.weight", 8, 8, 1, 1), r"a ResNet of bottlenecks \(2, 2, 2, 2\)"),
        (put("layer1.2.conv1.weight", 8, 8, 3, 3), r"a ResNet of basic blocks \(3, 2, 2, 2\)"),
        (put("layer1.0.conv1.weight", 16, 8, 3, 3), "resnet18 of inner width 16"),
        (without("conv1.weight"), "neither a ResNet nor a ReActNet"),
    ],
)
def test_a_file_that_does_not_fit_tensor_by_tensor(change, words, save, student, tmp_path):
    tensors = dict(student.content)
    change(tensors)
    with pytest.raises(ModelError, match=words):
        import_torch(save(tensors), tmp_path / "run", image_size=64)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("publisher", "name"),
    [
        ("moco_v2", "module.encoder_q.fc.2.bias"),
        ("swav", "module.projection_head.3.bias"),
        ("simsiam", "module.encoder.fc.4.bias"),
        ("simsiam", "module.encoder.fc.7.running_mean"),
    ],
)
def test_a_head_that_lacks_a_tensor(publisher, name, save, tmp_path):
    content = getattr(publishers, publisher)().content
    tensors = content.get("state_dict", content)
    if publisher == "simsiam":  # the last BatchNorm has neither, an inner one both
        assert "module.encoder.fc.7.weight" not in tensors
    del tensors[name]
    with pytest.raises(ModelError, match=f"it lacks .*: {name.removeprefix('module.')}"):
        import_torch(save(content), tmp_path / "run", image_size=64)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3, "weights": [1]}, r"no state dict.*found: epoch, weights"),
        ([1, 2], "no state dict"),
        ({"state_dict": {"a": 1}}, "no state dict"),
        ({"blocks.0.attn.qkv.weight": torch.ones(3, 3)}, "neither a ResNet .* blocks.0.attn.qkv"),
    ],
)
def test_a_file_of_something_else(content, words, save, tmp_path):
    with pytest.raises(UserError, match=words):
        import_torch(save(content), tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"architecture": "resnet50"}, "looks like resnet18_w0.125 and not like resnet50"),
        ({"architecture": "resnet18"}, "looks like resnet18_w0.125 and not like resnet18"),
        (
            {"architecture": "vgg"},
            "is one of resnet18, .*, dinov2_vitl14_reg, not vgg",
        ),
        ({"step": 2}, "--step is for a reactnet; the file looks like resnet18"),
    ],
)
def test_another_architecture_than_the_files(options, words, save, student, tmp_path):
    with pytest.raises(ConfigError, match=words):
        import_torch(save(student.content), tmp_path / "run", image_size=64, **options)


def test_without_torch_a_sentence_says_what_to_install(monkeypatch, save, student, tmp_path):
    path = save(student.content)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(CheckpointError, match="needs PyTorch: pip install torch"):
        import_torch(path, tmp_path / "run")


def test_safetensors_need_no_torch(monkeypatch, student, expected, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "model.safetensors"
    safetensors.save_file({f"module.{k}": v for k, v in student.content.items()}, path)
    monkeypatch.setitem(sys.modules, "torch", None)
    import_torch(path, tmp_path / "run", image_size=64)
    np.testing.assert_allclose(load_encoder(tmp_path / "run")(photographs(64)), expected, atol=1e-6)


def test_damaged_safetensors_and_a_missing_package(monkeypatch, tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "model.safetensors"
    for data in (b"", b"\xff" * 8 + b"{}", (2).to_bytes(8, "little") + b"[]"):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="is not a whole .safetensors file"):
            import_torch(path, tmp_path / "run")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(CheckpointError, match="pip install safetensors"):
        import_torch(path, tmp_path / "run")


def test_a_directory_that_has_a_run_is_left_alone(save, student, tmp_path):
    path = save(student.content)
    import_torch(path, tmp_path / "run", image_size=64)
    before = (tmp_path / "run" / "encoder.weights.h5").read_bytes()
    with pytest.raises(CheckpointError, match="already holds a run; choose another"):
        import_torch(path, tmp_path / "run", image_size=64)
    assert (tmp_path / "run" / "encoder.weights.h5").read_bytes() == before


def test_an_unfinished_import_is_not_a_run(save, student, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "imported.json").mkdir()  # where a file must go
    with pytest.raises(CheckpointError, match="Cannot write to .*run"):
        import_torch(save(student.content), run, image_size=64)
    assert not (run / "config.yaml").exists()


def test_the_command_line(save, student, tmp_path):
    path = save(student.content)
    arguments = ["import-torch", str(path), str(tmp_path / "run"), "--image-size", "64"]
    done = CliRunner().invoke(main, [*arguments, "--data", "digits", "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.output.splitlines()[-1])
    assert (record["file"], record["classes"]) == ("checkpoint.pth.tar", 10)
    assert json.loads((tmp_path / "run" / "imported.json").read_text()) == record
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1
    assert "already holds a run" in again.output and "Traceback" not in again.output
    other = CliRunner().invoke(main, [*arguments[:2], str(tmp_path / "b"), "--image-size", "64"])
    assert (
        "resnet18_w0.125, with the tensor names of torchvision; a classifier with 10 cl"
        in other.output
    )
    assert f"Reading {path}\n" in other.output
