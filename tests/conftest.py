"""A quiet TensorFlow and fixed seeds for every test."""

import random

import numpy as np
import pytest

from s2bnn_tf.environment import quiet_tensorflow

quiet_tensorflow()


@pytest.fixture(autouse=True)
def fixed_seeds():
    import tensorflow as tf

    random.seed(0)
    np.random.seed(0)
    tf.random.set_seed(0)
