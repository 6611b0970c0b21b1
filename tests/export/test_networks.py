"""Every backbone becomes a file that computes what the backbone computes."""

import numpy as np
import pytest

from s2bnn_tf.export import convert_model, deployment_model
from s2bnn_tf.export.lce import run_file
from s2bnn_tf.layers.structure import is_binary, leaf_layers
from s2bnn_tf.vectors import unit_length

slow = pytest.mark.slow
KERNELS = ("portable", None)  # and the fastest


@slow
@pytest.mark.parametrize("head", ["projection", "linear"])
def test_heads(small_encoder, digits, convert_and_verify, head):
    rng = np.random.default_rng(0)
    probe = (rng.normal(size=(256, 10)).astype(np.float32), np.ones(10, np.float32))
    assert convert_and_verify(small_encoder, digits, head, probe).dictated_error < 1e-5


def test_step_1_has_no_binary_convolution(make_encoder, digits, convert_and_verify):
    encoder = make_encoder("reactnet", 32, stem="small", width=0.25, binarize_weights=False)
    report = convert_and_verify(encoder, digits)
    assert report.binary_convolutions == 0
    assert report.dictated_error is None
    assert report.cosine_min > 0.99


@slow
def test_real_valued_network_is_exact_to_rounding(make_encoder, digits, convert_and_verify):
    encoder = make_encoder("resnet18", 32, stem="small", width=0.25)
    report = convert_and_verify(encoder, digits)
    assert report.signs == 0
    assert report.dictated_error < 1e-5


@slow
def test_a_network_with_gates_on_the_computer_and_on_the_device(
    make_encoder, digits, convert_and_verify
):
    """The device's kernels give the same bits; the signs that rounding turns change little."""
    runtime = pytest.importorskip("s2bnn_runtime")
    encoder = make_encoder("bnext", 32, stem="small", width=0.125)
    deployed = deployment_model(encoder, 32)
    report = convert_and_verify(encoder, digits, deployed=deployed)
    assert report.binary_convolutions == 31
    assert report.dictated_error < 1e-4  # TensorFlow Lite's own sigmoid
    model = convert_model(deployed, output_name="features")
    expected, *found = [
        run_file(model, digits, "indirect")[0],
        *(runtime.Interpreter(model, kernels=kernels).predict(digits) for kernels in KERNELS),
    ]
    np.testing.assert_array_equal(*found)
    assert (unit_length(found[0]) * unit_length(expected)).sum(axis=1).min() > 0.99


@pytest.mark.parametrize(
    ("name", "size", "convolutions"),
    [
        ("quicknet_small", 64, 16),
        pytest.param("reactnet", 128, 26, marks=slow),
        pytest.param("reactnet", 224, 26, marks=slow),
        pytest.param("quicknet", 128, 16, marks=slow),
        pytest.param("quicknet_large", 128, 32, marks=slow),
        pytest.param("birealnet", 128, 16, marks=slow),
        pytest.param("binary_resnet_e18", 128, 16, marks=slow),
        pytest.param("binary_densenet28", 128, 23, marks=slow),
        pytest.param("binary_densenet37", 128, 32, marks=slow),
        pytest.param("binary_densenet45", 128, 40, marks=slow),
        pytest.param("real_to_binary_net", 128, 16, marks=slow),
    ],
)
def test_imagenet_networks(make_encoder, photographs, convert_and_verify, name, size, convolutions):
    encoder = make_encoder(name, size)
    assert sum(map(is_binary, leaf_layers(encoder.backbone))) == convolutions
    assert convert_and_verify(encoder, photographs(size)).binary_convolutions == convolutions
