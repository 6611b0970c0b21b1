"""Weights files as Larq Zoo publishes them become run directories."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from s2bnn_tf.cli import main
from s2bnn_tf.errors import CheckpointError, ModelError
from s2bnn_tf.runs import LinearProbe, RunDirectory, import_zoo, load_encoder

pytestmark = pytest.mark.both_sets

keras = tf.keras
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> tuple[keras.Model, Path]:
    """A classifier of Larq Zoo's own, with random weights, and its file."""
    from larq_zoo import sota

    tf.keras.utils.set_random_seed(0)
    network = sota.QuickNetSmall(input_shape=SHAPE, weights=None, num_classes=7)
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([w + rng.uniform(0, 0.5, w.shape) for w in layer.get_weights()])
    path = tmp_path_factory.mktemp("zoo") / "quicknet_small_weights.h5"
    network.save_weights(path)
    return network, path


def test_the_run_computes_what_the_published_network_computes(published, tmp_path):
    network, path = published
    record = import_zoo(path, tmp_path / "run", image_size=32, data="digits")
    assert record == json.loads(RunDirectory(tmp_path / "run").imported_path.read_text())
    assert (record["architecture"], record["classes"]) == ("quicknet_small", 7)
    assert record["tensors_used"] == len(network.weights)
    images = np.random.default_rng(1).normal(size=(4, *SHAPE)).astype(np.float32)
    features = load_encoder(tmp_path / "run").backbone(images).numpy()
    probe = LinearProbe.load(tmp_path / "run" / "eval" / "linear_probe.npz")
    found = tf.nn.softmax(probe.logits(features)).numpy()
    np.testing.assert_allclose(found, network(images).numpy(), rtol=1e-4, atol=1e-5)


def test_a_file_without_the_classifier_on_the_command_line(published, tmp_path):
    network, _ = published
    body = keras.Model(network.input, network.layers[-5].output)  # as with include_top=False
    body.save_weights(tmp_path / "notop.h5")
    arguments = ["import-zoo", tmp_path / "notop.h5", tmp_path / "run", "--image-size", "32"]
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    record = json.loads(done.output.splitlines()[-1])
    assert (record["architecture"], record["classes"]) == ("quicknet_small", None)
    assert not (tmp_path / "run" / "eval").exists()
    again = CliRunner().invoke(main, list(map(str, arguments)))
    assert again.exit_code == 1
    assert "already holds a run" in again.output


def test_files_that_are_something_else(published, tmp_path):
    _, path = published
    (tmp_path / "text.h5").write_text("no HDF5")
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    other.save_weights(tmp_path / "other.h5")
    (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:100_000])
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["layer"] = h5py.ExternalLink("/etc/passwd", "/")
    run = tmp_path / "run"
    with pytest.raises(ModelError, match="The 2 arrays in .*other.h5 are not those of quicknet_"):
        import_zoo(tmp_path / "other.h5", run, image_size=32)
    for name in ("text.h5", "cut.h5", "link.h5"):
        with pytest.raises(CheckpointError, match=f"{name} is no weights file of Keras"):
            import_zoo(tmp_path / name, run, image_size=32)
    with pytest.raises(CheckpointError, match="There is no file"):
        import_zoo(tmp_path / "none.h5", run, image_size=32)
    assert not run.exists()
