"""A quiet TensorFlow and fixed seeds for every test."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest

from s2bnn_tf.environment import quiet_tensorflow

quiet_tensorflow()


@pytest.fixture(autouse=True)
def fixed_seeds():
    random.seed(0)
    np.random.seed(0)
    # a test that has not imported TensorFlow by now need not wait for it
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)
