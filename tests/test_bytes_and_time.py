"""The script that sets accuracy against bytes and milliseconds."""

from __future__ import annotations

from argparse import Namespace

import bytes_and_time
import pytest

from s2bnn_tf.backbones import backbone_options
from s2bnn_tf.config import load_config


@pytest.mark.parametrize("name", bytes_and_time.NETWORKS)
def test_the_settings_make_the_recipes_ones_of_each_network(name):
    network = bytes_and_time.NETWORKS[name]
    options = Namespace(source="digits", set=["data.batch_size=64"])
    for part, binary in (("step1", False), ("step2", True)):
        given = bytes_and_time.settings(network, part, options)
        config = load_config(bytes_and_time.RECIPES / f"regression_{part}.yaml", given)
        student = config.student
        assert (student.backbone, student.width, student.stem) == (*network[:2], "small")
        assert student.binarize_weights == (binary if network.bits == 1 else None)
        assert (config.data.source, config.data.batch_size) == ("digits", 64)
        assert config.objective.regression_weight == 1
        given_options = {"stem", "width"} | ({"binarize_weights"} if network.bits == 1 else set())
        assert given_options <= backbone_options(student.backbone).keys()
        if student.kernel_initializer is not None:
            assert "kernel_initializer" in backbone_options(student.backbone)


def test_each_binary_network_has_a_twin_at_each_width():
    named = set(bytes_and_time.NETWORKS)
    binary = {name for name in named if bytes_and_time.NETWORKS[name].bits == 1}
    assert {name.replace("-", "_real-") for name in binary} < named
    assert len(named) == 21


def test_the_table_begins_with_the_smallest_file():
    rows = {
        "reactnet-0.25": {"bytes": 4096, "milliseconds": 1.234, "linear": 0.8767},
        "mobilenet_v2-0.1": {"bytes": 2048, "instructions": 5.2e6, "cycles": 2e6, "linear": 0.7},
    }
    lines = bytes_and_time.as_text(rows).splitlines()
    assert lines[2:] == [
        "| `mobilenet_v2-0.1` | int8 | 2 |  | 5.2 | 2.0 | 70.0 |",
        "| `reactnet-0.25` | 1 bit | 4 | 1.23 |  |  | 87.7 |",
    ]
