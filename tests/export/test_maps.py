"""`convert --head map` and `features+map`: the features of places, in a file that is verified."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import UserError
from s2bnn_tf.export import ParityError, convert_model, deployment_model, export_encoder, verify
from s2bnn_tf.export.maps import with_map
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.tflite import TFLiteEncoder

keras = tf.keras


def export(encoder, output, images, **options):
    settings = {"image_size": images.shape[1], "center_crop": 1.0, "source": "digits", **options}
    return export_encoder(encoder, output, images=images, **settings)


@pytest.mark.parametrize("runtime", ["lce", "s2bnn"])
@pytest.mark.parametrize(("head", "stride", "side"), [("features+map", None, 8), ("map", 2, 16)])
def test_map_of_the_file_is_that_of_the_network(
    small_encoder, digits, tmp_path, runtime, head, stride, side
):
    if runtime == "s2bnn":
        pytest.importorskip("s2bnn_runtime")
    card = export(small_encoder, tmp_path / "a.tflite", digits, head=head, map_stride=stride)
    assert json.loads((tmp_path / "a.json").read_text()) == card
    opened = TFLiteEncoder(tmp_path / "a.tflite", runtime)
    assert opened.head == card["head"] == head
    network = with_map(small_encoder, head, stride).backbone
    *features, wanted = tf.nest.flatten(network(normalize(digits)))
    maps = opened.maps(digits)
    assert maps.shape == wanted.shape == (len(digits), side, side, opened.map_shape[2])
    assert card["map"] == {"name": "map", "shape": [1, *maps.shape[1:]], "stride": 32 // side}
    cosines = (maps * wanted).numpy().sum((1, 2, 3)) / (
        np.linalg.norm(maps.reshape(len(maps), -1), axis=1)
        * np.linalg.norm(np.reshape(wanted, (len(maps), -1)), axis=1)
    )
    assert cosines.min() > 0.99
    vectors = opened.features(digits)
    assert vectors.shape == (len(digits), opened.feature_dim)
    if features:
        assert card["output"]["name"] == "features"
        assert opened.feature_dim == small_encoder.backbone.output_shape[-1]
        exact = small_encoder.backbone(normalize(digits)).numpy()
        assert np.corrcoef(vectors.ravel(), exact.ravel())[0, 1] > 0.99
    else:
        np.testing.assert_allclose(vectors, maps.mean((1, 2)), rtol=1e-5)
        assert card["binary_convolutions"] < 26  # what follows the map is left out
    assert opened.maps(digits[:0]).shape == (0, *opened.map_shape)


def test_a_network_that_reverses_the_image_has_its_map_turned_back(make_encoder, photographs):
    encoder = make_encoder("resnet18", 64, reverse_input=True)
    images = photographs(64, 2)
    images[:, :32] = 0  # nothing in the upper half
    map_ = with_map(encoder, "map", 8).backbone(normalize(images)).numpy()
    spread = map_.std(axis=(2, 3))  # of the places of a row
    assert (spread[:, 0] < spread[:, 6]).all()


def test_a_map_that_was_turned_back_is_deployed(make_encoder, photographs):
    encoder = make_encoder("reactnet", 32, stem="small", width=0.125, reverse_input=True)
    images = photographs(32, 2)
    deployed = deployment_model(encoder, 32, "features+map")
    network = with_map(encoder, "features+map").backbone
    for found, wanted in zip(deployed(images), network(normalize(images)), strict=True):
        assert found.shape == wanted.shape
        assert np.corrcoef(np.ravel(found), np.ravel(wanted))[0, 1] > 0.99


def test_a_map_that_was_converted_wrongly_is_found(small_encoder, digits):
    deployed = deployment_model(small_encoder, 32, "features+map", fold=False)
    features, map_ = deployed.outputs
    wrong = keras.Model(deployed.inputs, [features, map_[:, ::-1]])
    model = convert_model(wrong, output_name=("features", "map"))
    with pytest.raises(ParityError, match="differs|cosine"):
        verify(small_encoder, model, digits, deployed=deployed, head="features+map")


def test_maps_that_are_not_there(small_encoder, wrap, digits, tmp_path):
    with pytest.raises(UserError, match=r"maps of stride 1, 2, 4, 8, not 3: .*--map-stride"):
        export(small_encoder, tmp_path / "a.tflite", digits, head="map", map_stride=3)
    with pytest.raises(UserError, match="needs --head map, features.map or"):
        export(small_encoder, tmp_path / "a.tflite", digits, map_stride=4)
    image = keras.Input((32, 32, 3))
    flat = keras.layers.Dense(4)(keras.layers.Flatten()(image))
    with pytest.raises(UserError, match="has no map"):
        export(Encoder(keras.Model(image, flat)), tmp_path / "a.tflite", digits, head="map")
    plain = wrap(lambda x: BinaryConv2D(8, 3)(x), 32)
    export(plain, tmp_path / "a.tflite", digits)
    with pytest.raises(UserError, match="returns no map; convert it again with"):
        TFLiteEncoder(tmp_path / "a.tflite").maps(digits)
