"""The image towers of CLIP and SigLIP give what `transformers` gives, in every naming."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from oracle.weights import random_images

from s2bnn_tf.data import IMAGENET_MEAN, IMAGENET_STD
from s2bnn_tf.errors import CheckpointError, ConfigError, ModelError
from s2bnn_tf.runs import load_encoder
from s2bnn_tf.torch_import import import_torch
from s2bnn_tf.torch_import.joint_vit import import_joint

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# A later PyTorch no longer makes such files, and those that are published stay as they are.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

BLOCKS = 2
SIDE = 32
STATISTICS = {
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "siglip": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@pytest.fixture(autouse=True)
def shallow(monkeypatch) -> None:
    """Networks with few blocks, which are all alike."""
    for module in ("backbones.joint_vit", "torch_import.joint_vit"):
        monkeypatch.setattr(f"s2bnn_tf.{module}.JOINT_BLOCKS", BLOCKS)


@pytest.fixture
def float64() -> Iterator[None]:
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


def network(kind: str, seed: int = 0, **shape: int):
    """A whole CLIP or SigLIP with random weights, biases and statistics."""
    torch.manual_seed(seed)
    vision = {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512}
    vision |= {"num_hidden_layers": BLOCKS, "image_size": SIDE, "patch_size": 8, **shape}
    text = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    text |= {"num_hidden_layers": 1, "vocab_size": 20}
    if kind == "clip":
        config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=512)
        model = transformers.CLIPModel(config)
    else:
        config = transformers.SiglipConfig(vision_config=vision, text_config=text)
        model = transformers.SiglipModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def expected(model, images: np.ndarray, kind: str) -> np.ndarray:
    """What transformers computes from images that are normalized by ImageNet's statistics."""
    mean, std = STATISTICS[kind]
    pixels = ((images * IMAGENET_STD + IMAGENET_MEAN) - mean) / std
    given = torch.from_numpy(pixels.transpose(0, 3, 1, 2)).to(next(model.parameters()).dtype)
    with torch.no_grad():
        return model.get_image_features(pixel_values=given).numpy()


def openais(state: dict) -> dict:
    """The tensors of a CLIP by OpenAI's names."""
    out = {}
    for name, tensor in state.items():
        new = name.replace("vision_model.embeddings.patch_embedding", "visual.conv1")
        new = new.replace("vision_model.embeddings.class_embedding", "visual.class_embedding")
        new = new.replace("vision_model.embeddings.position_embedding.weight", "visual.pos")
        new = new.replace("visual.pos", "visual.positional_embedding")
        new = new.replace("vision_model.pre_layrnorm", "visual.ln_pre")
        new = new.replace("vision_model.post_layernorm", "visual.ln_post")
        new = new.replace("vision_model.encoder.layers", "visual.transformer.resblocks")
        new = re.sub(r"(visual.*)layer_norm([12])", r"\1ln_\2", new)
        new = re.sub(r"(visual.*)self_attn.out_proj", r"\1attn.out_proj", new)
        new = re.sub(r"(visual.*)mlp.fc1", r"\1mlp.c_fc", new)
        new = re.sub(r"(visual.*)mlp.fc2", r"\1mlp.c_proj", new)
        if name == "visual_projection.weight":
            new, tensor = "visual.proj", tensor.T.contiguous()
        out[new] = tensor
    for block in range(BLOCKS):
        name = f"visual.transformer.resblocks.{block}."
        for part in ("weight", "bias"):
            three = [out.pop(f"{name}self_attn.{p}_proj.{part}") for p in "qkv"]
            out[f"{name}attn.in_proj_{part}"] = torch.cat(three)
    return {name.replace("text_model.", ""): tensor for name, tensor in out.items()}


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_parity_in_float64(kind, float64):
    model = network(kind).double()
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    options = {"architecture": None, "step": None, "data": "digits", "image_size": SIDE}
    imported = import_joint(tensors, **options)
    images = random_images((3, SIDE, SIDE, 3))
    found = imported.encoder.backbone(images).numpy()
    wanted = expected(model, images, kind)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, atol=1e-8 * np.abs(wanted).max())
    assert imported.record["architecture"] == f"{kind}_vit_b8_w0.166667"


def test_tinyclip_is_a_narrow_clip(float64):
    shape = {"hidden_size": 512, "num_attention_heads": 8, "patch_size": 16}
    model = network("clip", **shape, intermediate_size=2048).double()
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    options = {"architecture": "tinyclip_vit_39m", "step": None, "data": "digits"}
    imported = import_joint(tensors, **options, image_size=SIDE)
    images = random_images((2, SIDE, SIDE, 3))
    wanted = expected(model, images, "clip")
    found = imported.encoder.backbone(images).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-8 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_parity_of_a_run_in_float32(kind, save, tmp_path):
    model = network(kind)
    record = import_torch(save(model.state_dict()), tmp_path / "run", image_size=SIDE)
    assert any("text_model" in name for name in sum(record["ignored"].values(), []))
    images = random_images((3, SIDE, SIDE, 3)).astype(np.float32)
    wanted = expected(model, images, kind)
    found = load_encoder(tmp_path / "run").backbone(images).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def as_module(state: dict) -> torch.nn.Module:
    """A module, of modules, whose state dict this is."""
    root = torch.nn.Module()
    for name, tensor in state.items():
        *path, last = name.split(".")
        place = root
        for part in path:
            if not hasattr(place, part):
                place.add_module(part, torch.nn.Module())
            place = getattr(place, part)
        place.register_parameter(last, torch.nn.Parameter(tensor, requires_grad=False))
    return root


def test_openais_archive_gives_the_same_network(save, tmp_path):
    model = network("clip").half().float()  # numbers that half precision has
    state = openais(model.state_dict())
    archive = tmp_path / "ViT-B-8.pt"
    torch.jit.script(as_module({n: t.half() for n, t in state.items()})).save(str(archive))
    plain = import_torch(save(model.state_dict()), tmp_path / "plain", image_size=SIDE)
    record = import_torch(archive, tmp_path / "run", image_size=SIDE)
    again = import_torch(save(state, "open_clip.pt"), tmp_path / "again", image_size=SIDE)
    assert record["named_as"] == again["named_as"] == "OpenAI"
    assert plain["architecture"] == record["architecture"] == again["architecture"]
    images = random_images((2, SIDE, SIDE, 3)).astype(np.float32)
    runs = [load_encoder(tmp_path / name).backbone(images) for name in ("plain", "run", "again")]
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])


class Evil:
    def __reduce__(self):
        return (print, ("code was run",))


@pytest.mark.parametrize("fault", ["code", "beyond", "missing", "torch"])
def test_a_hostile_archive_is_one_sentence(fault, tmp_path, capsys):
    good, bad = tmp_path / "good.pt", tmp_path / "bad.pt"
    module = as_module({"visual.conv1.weight": torch.ones(2, 2)})
    torch.jit.script(module).save(str(good))
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(bad, "w") as changed:
        for member in archive.infolist():
            content = archive.read(member)
            if fault == "code" and member.filename.endswith("/data.pkl"):
                content = pickle.dumps(Evil())
            if fault == "torch" and member.filename.endswith("/data.pkl"):
                content = b"\x80\x02ctorch.hub\nload\nX\x01\x00\x00\x00a\x85R."
            if "/data/" in member.filename and fault == "beyond":
                content = content[:4]
            if "/data/" in member.filename and fault == "missing":
                continue
            changed.writestr(member.filename, content)
    with pytest.raises(CheckpointError, match="bad.pt (was not opened: it wants to exec|is not a)"):
        import_torch(bad, tmp_path / "run")
    assert "code was run" not in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_what_does_not_fit_is_one_sentence(save, tmp_path):
    state = dict(network("clip").state_dict())
    path = save(state)
    with pytest.raises(ConfigError, match=r"looks like clip_vit_b8_w.* not like dino_vits16"):
        import_torch(path, tmp_path / "run", architecture="dino_vits16")
    with pytest.raises(ConfigError, match="--step is for a reactnet"):
        import_torch(path, tmp_path / "run", step=1)
    del state["visual_projection.weight"]
    with pytest.raises(ModelError, match="it lacks clip_vit_b8.*visual_projection"):
        import_torch(save(state), tmp_path / "run")
    state["vision_model.embeddings.position_embedding.weight"] = torch.ones(12, 128)
    with pytest.raises(ModelError, match="positions 12x128; those that can be imported"):
        import_torch(save(state), tmp_path / "run")
    assert not (tmp_path / "run").exists()
