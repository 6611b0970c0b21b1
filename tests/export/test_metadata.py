"""What other tools read in a `.tflite` of `s2bnn convert`; `make test-extras` asks one of them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import zipfile

import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.export import convert_model, deployment_model, export_encoder
from s2bnn_tf.export.metadata import add_metadata
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.tflite import TFLiteEncoder, TFLiteGraph

OTHER_PYTHON = os.environ.get("S2BNN_TFLITE_SUPPORT_PYTHON")  # with tflite-support
READ = """
import json, sys
from tensorflow_lite_support.metadata.python.metadata import MetadataDisplayer
shown = MetadataDisplayer.with_model_file(sys.argv[1])
files = {name: shown.get_associated_file_buffer(name).decode()
         for name in shown.get_packed_associated_file_list()}
print(json.dumps([json.loads(shown.get_metadata_json()), files]))
"""
NAMES = ("ä", "b", "c")


@pytest.fixture
def encoder(wrap):
    return wrap(lambda image: BinaryConv2D(16, 3)(image))


@pytest.fixture
def classifier(encoder, noise, tmp_path):
    probe = (np.eye(16, 3, dtype=np.float32), np.zeros(3, np.float32), NAMES)
    export_encoder(
        encoder,
        tmp_path / "classifier.tflite",
        image_size=8,
        center_crop=1.0,
        images=noise(),
        head="linear",
        probe=probe,
    )
    return tmp_path / "classifier.tflite"


def test_the_network_stays_as_it_is_and_its_constants_are_aligned(encoder, noise):
    model = convert_model(deployment_model(encoder, 8, "none"), output_name="features")
    described = add_metadata(model)
    assert len(described) - len(model) < 1000
    before, after = (schema.Model.GetRootAs(data) for data in (model, described))
    assert after.MetadataLength() == before.MetadataLength() + 1
    for number in range(before.BuffersLength()):
        old, new = before.Buffers(number), after.Buffers(number)
        assert new.DataIsNone() == old.DataIsNone()
        if not new.DataIsNone():
            np.testing.assert_array_equal(new.DataAsNumpy(), old.DataAsNumpy())
    entry = after.Metadata(after.MetadataLength() - 1)
    content = after.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    assert (entry.Name(), content[4:8]) == (b"TFLITE_METADATA", b"M001")
    addresses = [
        buffer._tab.Vector(buffer._tab.Offset(4))
        for buffer in map(after.Buffers, range(after.BuffersLength()))
        if not buffer.DataIsNone()
    ]
    assert len(addresses) > 2 and not any(address % 16 for address in addresses)
    assert add_metadata(model) == described


def test_the_labels_are_in_an_archive_behind_the_model(classifier):
    with zipfile.ZipFile(io.BytesIO(classifier.read_bytes())) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode() == "ä\nb\nc\n"
    assert TFLiteEncoder(classifier).labels == [*NAMES]


def test_every_runtime_takes_the_file(classifier, noise):
    lce, ours = (
        TFLiteEncoder(classifier, runtime=runtime).features(noise()) for runtime in ("lce", "s2bnn")
    )
    np.testing.assert_allclose(lce, ours, rtol=1e-4, atol=1e-5)
    assert TFLiteGraph(classifier.read_bytes()).inputs


if OTHER_PYTHON is not None:

    def test_tflite_support_reads_it(classifier):
        command = [OTHER_PYTHON, "-c", READ, classifier]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        metadata, files = json.loads(done.stdout)
        assert files == {"labels.txt": "ä\nb\nc\n"}
        (graph,) = metadata["subgraph_metadata"]
        (image,), (logits,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
        assert image["name"] == "image"
        assert image["content"] == {
            "content_properties_type": "ImageProperties",
            "content_properties": {
                "color_space": "RGB",
                "default_size": {"width": 8, "height": 8},
            },
        }
        assert image["process_units"] == [
            {
                "options_type": "NormalizationOptions",
                "options": {"mean": [0.0] * 3, "std": [1.0] * 3},
            }
        ]
        assert image["stats"] == {"max": [255.0] * 3, "min": [0.0] * 3}
        assert logits["name"] == "logits"
        (labels,) = logits["associated_files"]
        assert (labels["name"], labels["type"]) == ("labels.txt", "TENSOR_AXIS_LABELS")
