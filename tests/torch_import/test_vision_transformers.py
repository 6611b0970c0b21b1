"""Vision transformers give what an independent implementation gives, at every size and naming."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from oracle.weights import random_images

from s2bnn_tf.backbones import VIT_SIZES, build_backbone, with_output
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.runs import RunDirectory, load_encoder
from s2bnn_tf.torch_import import import_torch
from s2bnn_tf.torch_import.assembly import Imported, import_tensors
from s2bnn_tf.torch_import.files import read_checkpoint

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
oracle = pytest.importorskip("oracle.vision_transformers")

# Multiples of the patch of 14 or 16 pixels, in patches: the usual size, then rectangles of which
# some sides are met by ports that compute the size of a map from a rounded factor (39, 43, 78, 86
# patches are 546, 602, 1092, 1204 pixels), and DINO's position grid itself.
MAPS = [(16, 16), (39, 3), (2, 43), (78, 2), (1, 86), (14, 14)]
BLOCKS = oracle.BLOCKS
GEOMETRY = ("width", "patch_size", "registers", "position_grid", "layer_scale")


@pytest.fixture(autouse=True)
def shallow(monkeypatch) -> None:
    """Networks with few blocks, which are all alike."""
    monkeypatch.setitem(VIT_SIZES, "vit_small", replace(VIT_SIZES["vit_small"], blocks=BLOCKS))


@pytest.fixture
def float64() -> Iterator[None]:
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


def at_size(imported: Imported, rows: int, columns: int) -> tf.keras.Model:
    """The imported backbone for images of so many patches."""
    student = imported.config.student
    options = {name: getattr(student, name) for name in GEOMETRY}
    sides = (rows * student.patch_size, columns * student.patch_size)
    backbone = build_backbone(student.backbone, (*sides, 3), **options)
    backbone.set_weights(imported.encoder.backbone.get_weights())
    return backbone


def from_file(network, path) -> Imported:
    """Import a network from the file that `transformers` writes."""
    network.save_pretrained(path)
    tensors = read_checkpoint(path / "model.safetensors").tensors
    size = 16 * network.config.patch_size
    return import_tensors(tensors, image_size=size)


@pytest.mark.parametrize("architecture", oracle.ARCHITECTURES)
def test_all_sizes_give_what_transformers_gives(architecture, float64, tmp_path):
    network = oracle.build(architecture)
    imported = from_file(network, tmp_path)
    assert imported.record["architecture"] == f"{architecture}_w0.166667"
    network = network.double()
    for rows, columns in MAPS:
        backbone = at_size(imported, rows, columns)
        images = random_images((1, *backbone.input_shape[1:3], 3))
        class_token, patches = oracle.tokens(network, images)
        found = {name: with_output(backbone, name)(images).numpy() for name in OUTPUTS}
        for name, expected in {
            "class_token": class_token,
            "map": patches,
            "patches": patches.mean(axis=(1, 2)),
        }.items():
            scale = 1e-8 * np.abs(expected).max()
            error = f"{name} of {rows}x{columns} patches"
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=scale, err_msg=error)
        both = np.concatenate([found["class_token"], found["patches"]], axis=1)
        np.testing.assert_array_equal(found["class_and_patches"], both)
        np.testing.assert_array_equal(backbone(images), found["class_token"])


OUTPUTS = ("class_token", "patches", "class_and_patches", "map")


@pytest.mark.parametrize("architecture", oracle.ARCHITECTURES)
def test_a_run_directory_has_them_in_float32(architecture, tmp_path):
    network = oracle.build(architecture)
    network.save_pretrained(tmp_path)
    record = import_torch(tmp_path / "model.safetensors", tmp_path / "run")
    assert record["architecture"] == f"{architecture}_w0.166667"
    assert record["named_as"] == ("DINO" if architecture == "dino_vits16" else "DINOv2")
    size = RunDirectory(tmp_path / "run").config.data.image_size
    assert size == 224
    images = random_images((2, size, size, 3)).astype(np.float32)
    expected, _ = oracle.tokens(network, images)
    features = load_encoder(tmp_path / "run").backbone(images).numpy()
    np.testing.assert_allclose(features, expected, atol=1e-4 * np.abs(expected).max())


def hub(architecture: str) -> dict:
    return oracle.hub_naming(oracle.build(architecture).state_dict())


def chunked(tensors: dict) -> dict:
    def name(old: str) -> str:
        first, _, rest = old.partition(".")
        index = rest.partition(".")[0]
        return f"blocks.{int(index) // 2}.{rest}" if first == "blocks" else old

    return {name(old): value for old, value in tensors.items()}


def below(prefix: str, tensors: dict) -> dict:
    return {prefix + name: value for name, value in tensors.items()}


def own_class_position(tensors: dict) -> dict:
    """timm's form of a network with registers: the class token holds its position already."""
    named = {name.replace("register_tokens", "reg_token"): v for name, v in tensors.items()}
    named["cls_token"] = tensors["cls_token"] + tensors["pos_embed"][:, :1]
    named["pos_embed"] = tensors["pos_embed"][:, 1:]
    return named


HEADS = {"dino_head.mlp.0.weight": torch.ones(9, 64), "ibot_head.last_layer.weight": torch.ones(2)}
FORMS = {
    "the publishers' hub": lambda t: t,
    "chunked": chunked,
    "in a teacher of training": lambda t: {"teacher": {**below("backbone.", chunked(t)), **HEADS}},
    "under two prefixes": lambda t: {
        "model": {**below("teacher.backbone.", t), **below("teacher.", HEADS)}
    },
    "timm's": own_class_position,
    "wrapped, with a classifier": lambda t: below(
        "module.", {**t, "head.weight": torch.ones(5, 64), "head.bias": torch.ones(5)}
    ),
    "half": lambda t: {name: value.half().float() for name, value in t.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_naming_gives_the_same_network(form, save, tmp_path):
    tensors = hub("dinov2_vits14_reg")
    plain = import_torch(save(tensors), tmp_path / "plain", image_size=56)
    record = import_torch(save(FORMS[form](tensors), "other.pth"), tmp_path / "run", image_size=56)
    assert record["architecture"] == plain["architecture"] == "dinov2_vits14_reg_w0.166667"
    assert record["tensors_used"] == plain["tensors_used"]
    images = random_images((2, 56, 56, 3)).astype(np.float32)
    first, second = (load_encoder(tmp_path / name)(images) for name in ("plain", "run"))
    tolerance = 2e-2 if form == "half" else 1e-6
    np.testing.assert_allclose(first, second, atol=tolerance)


def test_query_key_and_value_may_be_one_or_three(save, tmp_path):
    network = oracle.build("dinov2_vits14")
    import_torch(save(network.state_dict()), tmp_path / "three", image_size=28)
    import_torch(save(hub("dinov2_vits14")), tmp_path / "one", image_size=28)
    images = random_images((1, 28, 28, 3)).astype(np.float32)
    three, one = (load_encoder(tmp_path / name)(images) for name in ("three", "one"))
    np.testing.assert_array_equal(three, one)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_right_within_its_digits(precision, save, tmp_path):
    import_torch(save(hub("dinov2_vits14_reg")), tmp_path / "run", image_size=224)
    images = random_images((2, 224, 224, 3)).astype(np.float32)
    expected = load_encoder(tmp_path / "run")(images)
    tf.keras.mixed_precision.set_global_policy(precision)
    try:
        found = load_encoder(tmp_path / "run")(images)
    finally:
        tf.keras.mixed_precision.set_global_policy(None)
    np.testing.assert_allclose(found, expected, atol=2e-2)


def broken(**changes) -> dict:
    tensors = hub("dinov2_vits14")
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    return tensors


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (broken(pos_embed=None), "without learned position embeddings, as DINOv3"),
        (broken(pos_embed=torch.ones(1, 1372, 64)), "pos_embed is 1x1372x64, and not one embedd"),
        (broken(pos_embed=torch.ones(1, 1370, 32)), "pos_embed is 1x1370x32"),
        (broken(dist_token=torch.ones(1, 1, 64)), "it has more than dinov2_vits14.*dist_token"),
        (broken(norm_pre__weight=torch.ones(64)), "it has more than dinov2_vits14.*norm_pre"),
        (broken(blocks__2__norm1__weight=None), "it lacks dinov2_vits14.*blocks.2.norm1.weight"),
        (broken(blocks__2__mlp__fc1__weight=torch.ones(8, 64)), "the wrong shape .*mlp.fc1"),
        (broken(register_tokens=torch.ones(4, 64)), "register_tokens is 4x64, and not a few"),
        (broken(patch_embed__proj__weight=torch.ones(64, 1, 14, 14)), "square patches"),
        (broken(patch_embed__proj__weight=torch.ones(65, 3, 14, 14)), "3 blocks with 65 channels"),
        (broken(blocks__3__norm1__weight=torch.ones(64)), "of 4 blocks with 64 channels"),
        (below("base_encoder.", hub("dino_vits16")), "MoCo v3, whose attention has other heads"),
    ],
)
def test_what_is_no_such_transformer_is_refused(tensors, words, save, tmp_path):
    with pytest.raises(ModelError, match=words):
        import_torch(save(tensors), tmp_path / "run", image_size=28)
    assert not (tmp_path / "run").exists()


def test_a_size_that_is_no_multiple_of_the_patch_is_refused(save, tmp_path):
    with pytest.raises(ModelError, match=r"patch of 14 pixels, and not of 64x64: .* 56 or 70\."):
        import_torch(save(hub("dinov2_vits14")), tmp_path / "run", image_size=64)


def test_another_architecture_than_that_of_the_file_is_refused(save, tmp_path):
    path = save(hub("dinov2_vits14"))
    with pytest.raises(ConfigError, match=r"looks like dinov2_vits14_w0.166667 and not like dino_"):
        import_torch(path, tmp_path / "run", architecture="dino_vits16")
