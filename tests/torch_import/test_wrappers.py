"""A network is found below any prefix, and one of several is chosen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from s2bnn_tf.cli import main
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.runs import load_encoder
from s2bnn_tf.torch_import import import_torch
from s2bnn_tf.torch_import.assembly import recognize
from s2bnn_tf.torch_import.files import read_checkpoint

torch = pytest.importorskip("torch")
publishers = pytest.importorskip("oracle.publishers")
prefixed = publishers.prefixed


def recognized(path, prefix=None, **options):
    return recognize(read_checkpoint(path, **options).tensors, prefix)


def stem(run) -> np.ndarray:
    return load_encoder(run).backbone.get_layer("stem_conv").kernel.numpy()


def stored_stem(tensors) -> np.ndarray:
    return tensors["conv1.weight"].permute(2, 3, 1, 0).numpy()[::-1, ::-1]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("", ""),
        ("module.", ""),
        ("_orig_mod.", ""),
        ("module._orig_mod.module.", ""),
        ("net.", "net."),
        ("resnet.", "resnet."),
        ("model.", "model."),
        ("encoder.", "encoder."),
        ("backbone.", "backbone."),
        ("a_name.of.your.own.", "a_name.of.your.own."),
        ("model._orig_mod.net.module.", "model.net."),
    ],
)
def test_a_resnet_below_any_prefix(prefix, found, save, resnet):
    tensors = prefixed(prefix, resnet)
    for beside in ({}, {"n_averaged": torch.tensor(7)}):
        result = recognized(save({"state_dict": tensors | beside}))
        assert result.naming.encoder == found
        assert (result.network.backbone, result.head.classes) == ("resnet18", 4)


def test_wrappers_within_a_network(save, resnet, tmp_path):
    tensors = {
        name.replace("layer1.0.", "layer1._orig_mod.0.module."): value
        for name, value in prefixed("model.module.encoder_q._orig_mod.", resnet).items()
    }
    record = import_torch(save(tensors), tmp_path / "run", image_size=32)
    assert (record["named_as"], record["prefix"]) == ("MoCo v1 or v2", "model.encoder_q.")
    assert record["head"] == "linear"
    np.testing.assert_array_equal(stem(tmp_path / "run"), stored_stem(resnet))


def test_numbered_parts_below_a_prefix(save):
    tensors = prefixed("net.", publishers.lightly().content["state_dict"])
    result = recognized(save(tensors))
    assert (result.naming.publisher, result.naming.encoder) == ("lightly", "net.backbone.")
    assert result.head.layers == "linear relu linear"


def test_a_reactnet_below_a_prefix(save):
    content = prefixed("student.net.", publishers.s2bnn_probe().content["state_dict"])
    result = recognized(save(content))
    assert (result.network.backbone, result.naming.encoder) == ("reactnet", "student.net.")


def test_swa_and_what_stands_beside_the_network(save, resnet, tmp_path):
    tensors = prefixed("module.net.", resnet)
    tensors |= {"n_averaged": torch.tensor(7), "module.criterion.center": torch.ones(3)}
    record = import_torch(save(tensors), tmp_path / "run", image_size=32)
    assert record["ignored"]["the count of averaged models, beside the averages"] == ["n_averaged"]
    beside = record["ignored"]["beside the network, which is below 'net.'"]
    assert beside == ["criterion.center"]
    assert record["tensors_used"] + sum(map(len, record["ignored"].values())) == len(tensors)


def test_a_state_dict_under_a_key_of_its_own(save, resnet):
    result = recognized(save({"net": resnet, "head": {"0.weight": torch.ones(2, 2)}, "epoch": 3}))
    assert result.naming.encoder == "net."
    assert read_checkpoint(save({"net": resnet, "epoch": 3})).beside == ["epoch"]


def test_one_of_two_networks_is_chosen(save, resnet, tmp_path):
    other = {name: value + 1 for name, value in resnet.items()}
    both = prefixed("model.online.", resnet) | prefixed("model.target.module.", other)
    path = save(both)
    count = len(resnet)
    listed = rf"model.online. \({count} tensors\), model.target. \({count} tensors\)"
    with pytest.raises(ModelError, match=rf"2 networks, {listed}: choose .*--prefix model.target"):
        recognized(path)
    for prefix in ("model.target", "model.target.", "module.model.target.module."):
        assert recognized(path, prefix).naming.encoder == "model.target."
    with pytest.raises(ModelError, match="2 networks"):
        recognized(path, "model")
    with pytest.raises(ConfigError, match=f"--prefix student: no network .* the file .*{listed}"):
        recognized(path, "student")
    record = import_torch(path, tmp_path / "run", prefix="model.target", image_size=32)
    np.testing.assert_array_equal(stem(tmp_path / "run"), stored_stem(other))
    outside = record["ignored"]["not below the prefix 'model.target.', which was asked for"]
    assert len(outside) == count


def test_a_network_without_prefix_beside_another(save, resnet):
    path = save({**resnet, **prefixed("module.", resnet)})  # without `module.` they would collide
    with pytest.raises(ModelError, match="one without a prefix .*, module"):
        recognized(path)
    assert recognized(path, "").naming.encoder == ""
    assert recognized(path, "module").naming.encoder == "module."


def test_the_key_encoder_of_moco(save, resnet):
    content = prefixed("module.encoder_q.", resnet) | prefixed("module.encoder_k.", resnet)
    path = save({"state_dict": content})
    assert recognized(path).naming.encoder == "encoder_q."
    keys = recognized(path, "encoder_k")
    assert (keys.naming.encoder, keys.head.layers) == ("encoder_k.", "linear")


def test_many_networks_are_listed_in_short(save, resnet):
    tensors = {}
    for index in range(9):
        tensors |= prefixed(f"members.{index}.", resnet)
    with pytest.raises(ModelError, match=r"9 networks, members.0. .*members.3. .* and 5 more"):
        recognized(save(tensors))


def test_a_file_without_a_network_says_what_it_has(save):
    tensors = {f"blocks.{index}.qkv.weight": torch.ones(2) for index in range(7)}
    tensors["norm.weight"] = torch.ones(2)
    with pytest.raises(ModelError, match=r"neither a ResNet .*blocks 7, norm 1\): no other"):
        recognized(save(tensors))


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema"])
def test_averaged_weights_are_mentioned_and_taken_when_asked_for(key, save, resnet, tmp_path):
    averages = {name: value + 1 for name, value in resnet.items()}
    swa = {"n_averaged": torch.tensor(7), **prefixed("module.", averages)}
    path = save({"model": resnet, key: swa, "epoch": 3})
    plain, ema = (recognized(path, ema=asked).account for asked in (False, True))
    for account, tensors in ((plain, resnet), (ema, averages)):
        expected = tensors["conv1.weight"].numpy()
        np.testing.assert_array_equal(account.take("conv1.weight", expected.shape), expected)
    if key != "model_ema":
        return
    for run, options in (("plain", []), ("averages", ["--ema"])):
        arguments = ["import-torch", str(path), str(tmp_path / run), "--image-size", "32"]
        done = CliRunner().invoke(main, arguments + options)
        assert done.exit_code == 0, done.output
        said = "also holds averaged weights (model_ema); --ema" in done.output
        assert said == (not options)
        record = json.loads((tmp_path / run / "imported.json").read_text())
        assert record["averaged_weights"] == "model_ema"
        assert record["averaged_weights_used"] == bool(options)
    np.testing.assert_array_equal(stem(tmp_path / "averages"), stored_stem(averages))


def test_ema_without_averaged_weights(save, resnet):
    with pytest.raises(ConfigError, match="--ema takes averaged weights .* has none: leave it out"):
        read_checkpoint(save({"model": resnet}), ema=True)


def test_prefix_and_ema_are_in_the_help():
    text = CliRunner().invoke(main, ["import-torch", "--help"]).output
    assert "--prefix PREFIX" in text and "--ema" in text
    assert "--prefix online_encoder" in text.split("Example:")[1]
