"""Multiply-adds, counted by hand, in Keras and in the file."""

import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder, build_backbone
from s2bnn_tf.export import convert, count_operations
from s2bnn_tf.export.operations import file_operations, operation_table
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.tflite.graph import TFLiteGraph

keras = tf.keras


def test_counts_by_hand(wrap):
    def layers(image):
        x = keras.layers.Conv2D(64, 3, strides=2, padding="same", use_bias=False)(image)
        x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = BinaryConv2D(32, 3, groups=2)(x)
        return keras.layers.Conv2D(8, 1)(x)

    encoder = wrap(layers)
    graph = TFLiteGraph(convert(encoder, image_size=8))
    macs = {
        row["name"]: (row["count"], row["binary_macs"], row["float_macs"])
        for row in operation_table(graph)
    }
    assert macs["LceBconv2d"] == (1, 16 * 32 * 9 * 32, 0)
    assert macs["CONV_2D"] == (2, 0, 16 * 64 * 27 + 16 * 8 * 32)
    assert macs["DEPTHWISE_CONV_2D"] == (1, 0, 16 * 64 * 9)
    expected = {"binary_macs": 147456, "float_macs": 27648 + 4096 + 9216}
    assert file_operations(graph) == expected
    counted = count_operations(encoder)
    assert {key: counted[key] for key in expected} == expected


def test_keras_and_file_agree(small_encoder, small_model):
    counted = count_operations(small_encoder)
    in_file = file_operations(TFLiteGraph(small_model))
    assert {key: counted[key] for key in in_file} == in_file
    # The file holds the graph, and channels in words of 32 bits, besides the weights.
    assert 0.85 < counted["size_bytes"] / len(small_model) < 1


@pytest.mark.slow
@pytest.mark.parametrize(("binarize", "binary"), [(True, 4_816_896_000), (False, 0)])
def test_reactnet_a_at_224(binarize, binary):
    """As in ReActNet's paper, table 2: 4.82e9 binary multiply-adds, 0.12e8 real ones."""
    encoder = Encoder(build_backbone("reactnet", (224, 224, 3), binarize_weights=binarize))
    counted = count_operations(encoder)
    assert counted["binary_macs"] == binary
    assert counted["binary_macs"] + counted["float_macs"] == 4_816_896_000 + 10_838_016
