"""Weights in HDF5 files: counted, and refused if they are not plain numbers in the file."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.runs import count_weights, leave_untrained, load_encoder

keras = tf.keras


@pytest.mark.parametrize("name", ["x.weights.h5", "x.h5"])
def test_every_number_counts_once(name, tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    model.add(keras.layers.BatchNormalization())
    model.save_weights(tmp_path / name)
    assert count_weights(tmp_path / name) == model.count_params()


def test_a_second_name_for_an_array_and_a_group_within_itself(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file.create_group("group")
        group["array"] = np.zeros(5, np.float32)
        group["again"] = group["array"]
        group["itself"] = group
    assert count_weights(tmp_path / "x.h5") == 5


def test_groups_below_groups_without_end(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file
        for _ in range(200):
            group = group.create_group("x")
    with pytest.raises(ValueError, match="it holds more groups than any network"):
        count_weights(tmp_path / "x.h5")


def test_the_weights_of_a_run_that_declare_more_than_they_have(tmp_path):
    student = StudentConfig(
        backbone="resnet18", stem="small", width=0.0625, head="none", embedding_dim=32
    )
    objective = ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0)
    config = Config(data=DataConfig(image_size=32), student=student, objective=objective)
    run = leave_untrained(config, tmp_path)
    with h5py.File(run.weights_path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = next(name for name in names if name.endswith("vars/0"))
        del file[name]
        file.create_dataset(name, (2**20, 2**20), "f4", chunks=(1024, 1024))
    with pytest.raises(CheckpointError, match=r"encoder.weights.h5 does not hold the weights of"):
        load_encoder(tmp_path)
