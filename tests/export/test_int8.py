"""Real-valued students in int8: float at both ends, calibrated on real images, verified."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from s2bnn_tf.cli import main
from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig
from s2bnn_tf.errors import ConfigError, ModelError, ParityError
from s2bnn_tf.export import convert_run, export_encoder
from s2bnn_tf.export.convert import sample_images
from s2bnn_tf.export.int8 import verify_int8
from s2bnn_tf.runs import leave_untrained
from s2bnn_tf.tflite import TFLiteEncoder, TFLiteGraph

OPTIONS = {"image_size": 32, "center_crop": 1.0}


@pytest.fixture(scope="module")
def encoder(make_encoder):
    return make_encoder("resnet18", 32, stem="small", width=0.125)


@pytest.fixture(scope="module")
def exported(encoder, digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "student.tflite"
    calibration = sample_images("digits", 32, 1.0, 32, split="train")
    card = export_encoder(encoder, path, images=digits, calibration=calibration, **OPTIONS)
    return path, card


def test_weights_and_maps_are_int8_and_the_ends_are_float(encoder, exported):
    path, card = exported
    graph = TFLiteGraph(path.read_bytes())
    names = [operation.name for operation in graph.operations]
    assert (names[0], names[-1]) == ("QUANTIZE", "DEQUANTIZE")
    assert graph.tensors[graph.inputs[0]].dtype == np.float32
    kernels = [op for op in graph.operations if op.name == "CONV_2D"]
    assert len(kernels) == 20
    assert {graph.tensors[i].dtype for op in kernels for i in op.inputs[:2]} == {np.dtype(np.int8)}
    weights = encoder.backbone.count_params()
    assert graph.constant_bytes(np.int8) == pytest.approx(weights, rel=0.05)
    assert card["size_bytes"] < 2 * weights
    assert card["weights"] == "int8"


def test_the_outputs_are_those_of_the_float_network(encoder, exported, digits):
    path, card = exported
    assert 0.98 < card["parity"]["cosine_mean"] < 1
    opened = TFLiteEncoder(path)
    assert (opened.head, opened.feature_dim) == ("none", 64)
    report = verify_int8(encoder, path.read_bytes(), digits)
    assert report.cosine_mean == pytest.approx(card["parity"]["cosine_mean"])


@pytest.mark.slow
def test_images_of_another_kind_are_not_enough(encoder, digits, tmp_path):
    """Ranges measured on black images are too narrow, which verification sees."""
    black = np.zeros_like(digits)
    with pytest.raises(ParityError, match=r"In int8, the output has a mean .*--calibrate"):
        export_encoder(encoder, tmp_path / "x.tflite", images=digits, calibration=black, **OPTIONS)
    assert not list(tmp_path.iterdir())


def test_what_has_bits_or_two_outputs_is_refused(make_encoder, encoder, digits, tmp_path):
    given = {"images": digits, "calibration": digits, **OPTIONS}
    for binary in (True, False):
        student = make_encoder("reactnet", 32, stem="small", width=0.125, binarize_weights=binary)
        with pytest.raises(ModelError, match="'reactnet' computes with bits .*without --int8"):
            export_encoder(student, tmp_path / "x.tflite", **given)
    with pytest.raises(ConfigError, match="--int8 writes files with one output"):
        export_encoder(encoder, tmp_path / "x.tflite", head="features+map", **given)


@pytest.mark.slow
def test_on_the_command_line(tmp_path):
    student = StudentConfig(backbone="resnet18", stem="small", width=0.125, embedding_dim=8)
    objective = ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0)
    config = Config(data=DataConfig(image_size=32), student=student, objective=objective)
    run = leave_untrained(config, tmp_path / "run")
    output = tmp_path / "student.tflite"
    with pytest.raises(ConfigError, match="--calibrate names the images that --int8 needs"):
        convert_run(run.path, output, calibrate="digits")
    arguments = ["convert", run.path, output, "--int8", "--calibrate", "digits", "--json"]
    done = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    card = json.loads(done.output.splitlines()[-1])
    assert card["weights"] == "int8"
    assert card["output"]["name"] == "features"
    assert card["parity"]["images"] == 64
