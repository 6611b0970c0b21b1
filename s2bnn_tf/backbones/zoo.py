"""The binary networks of Larq Zoo as backbones, without their classifiers."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.errors import ModelError

keras = tf.keras

_NETWORKS = {
    "birealnet": "BiRealNet",
    "binary_resnet_e18": "BinaryResNetE18",
    "binary_densenet28": "BinaryDenseNet28",
    "binary_densenet37": "BinaryDenseNet37",
    "binary_densenet45": "BinaryDenseNet45",
    "real_to_binary_net": "RealToBinaryNet",
}


def _register(name: str, network: str) -> None:
    def build(input_shape: tuple[int, int, int]) -> keras.Model:
        # Imported here, since it takes two seconds that only its users should wait.
        try:
            from larq_zoo import literature, sota
        except ImportError as error:
            raise ModelError(
                f"{name} is a network of Larq Zoo, which is not installed or not whole "
                f"({error}): run `make zoo`."
            ) from error
        builder = getattr(sota, network, None) or getattr(literature, network)
        try:
            body = builder(input_shape=input_shape, weights=None, include_top=False)
        except ValueError as error:  # a map has shrunk to nothing
            height, width, _ = input_shape
            raise ModelError(
                f"{name} cannot be built for images of {height}x{width} pixels: "
                "choose a larger image_size."
            ) from error
        features = body.output
        if len(features.shape) == 4:
            features = keras.layers.GlobalAveragePooling2D(name="pool")(features)
        return keras.Model(body.input, features, name=name)

    build.__qualname__ = f"zoo.{name}"
    register_backbone(name)(build)


for _name, _network in _NETWORKS.items():
    _register(_name, _network)
