"""The `.tflite` of an imported student against PyTorch, with every kernel of Larq."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from s2bnn_tf.data import IMAGENET_MEAN, IMAGENET_STD
from s2bnn_tf.export import convert_model, deployment_model, verify
from s2bnn_tf.export.lce import run_file
from s2bnn_tf.tflite.graph import TFLiteGraph
from s2bnn_tf.torch_import.assembly import import_tensors

torch = pytest.importorskip("torch")
publishers = pytest.importorskip("oracle.publishers")

SIZE, WIDTH = 128, 0.25


def photographs(count: int = 4) -> np.ndarray:
    """Crops of scikit-learn's two photographs, RGB 0-255, float32."""
    pictures = load_sample_images().images
    corners = np.random.default_rng(0).integers(0, 250, (count, 2))
    crops = [
        pictures[index % 2][top : top + SIZE, left : left + SIZE]
        for index, (top, left) in enumerate(corners)
    ]
    return np.stack(crops).astype(np.float32)


def oracle_features(network, images: np.ndarray) -> np.ndarray:
    """Features in float64, from images that are normalized as users of PyTorch do."""
    normalized = (images / 255.0 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    with torch.no_grad():
        return network.double()(torch.from_numpy(normalized).permute(0, 3, 1, 2)).numpy()


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return (ours * theirs).sum(axis=1) / lengths


def tensors_of(published) -> dict[str, np.ndarray]:
    content = published.content.get("state_dict", published.content)
    return {name.removeprefix("module."): value.numpy() for name, value in content.items()}


def test_a_student_takes_ordinary_images_and_equals_pytorch():
    published = publishers.s2bnn_probe(width=WIDTH)
    encoder = import_tensors(tensors_of(published), image_size=SIZE).encoder
    images = photographs()
    expected = oracle_features(published.network, images)
    deployed = deployment_model(encoder, SIZE)
    model = convert_model(deployed, output_name="features")
    names = [operation.name for operation in TFLiteGraph(model).operations]
    assert names.count("LceBconv2d") == 26
    assert names.count("REVERSE_V2") == 2
    assert verify(encoder, model, images, deployed=deployed).dictated_error < 1e-5
    for kernel in ("default", "indirect", "reference"):
        outputs = run_file(model, images, kernel)[0]
        assert cosines(outputs, expected).min() > 0.999, kernel
    # The reversal matters: without it the file would hold a different network.
    turned = run_file(model, images[:, ::-1, ::-1].copy(), "indirect")[0]
    assert cosines(turned, expected).min() < 0.999


def test_a_real_valued_network_equals_pytorch_to_rounding():
    published = publishers.torchvision()
    encoder = import_tensors(tensors_of(published), image_size=SIZE).encoder
    images = photographs()
    expected = oracle_features(published.network, images)
    model = convert_model(deployment_model(encoder, SIZE), output_name="features")
    outputs = run_file(model, images, "indirect")[0]
    np.testing.assert_allclose(outputs, expected, atol=1e-4 * np.abs(expected).max())
