"""The momentum encoder's update against its formula."""

from __future__ import annotations

import numpy as np
import pytest

from s2bnn_tf.training import update_momentum


@pytest.fixture(scope="module")
def encoders(make_encoder):
    return make_encoder(0), make_encoder(1)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("statistics", [False, True])
def test_parameters_are_averaged_and_statistics_only_on_demand(momentum, statistics, encoders):
    student, momentum_encoder = encoders
    ours, before = student.get_weights(), momentum_encoder.get_weights()
    moving = ["moving" in weight.name for weight in momentum_encoder.weights]
    assert sum(moving) == 4
    update_momentum(student, momentum_encoder, momentum, statistics=statistics)
    for index, after in enumerate(momentum_encoder.get_weights()):
        expected = momentum * before[index] + (1 - momentum) * ours[index]
        if moving[index] and not statistics:
            np.testing.assert_array_equal(after, before[index])
        else:
            np.testing.assert_allclose(after, expected, atol=1e-6)
    for mine, same in zip(student.get_weights(), ours, strict=True):
        np.testing.assert_array_equal(mine, same)
