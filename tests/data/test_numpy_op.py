"""A process that leaves a dataset alive must still be able to exit."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The dataset is a global, so that it lives until the interpreter is torn down, and slow enough
# that its background threads are inside Python at that moment.
SCRIPT = """
import time
import numpy as np, tensorflow as tf
from s2bnn_tf.data.numpy_op import numpy_op

def work(number):
    time.sleep(0.2)
    return number

dataset = tf.data.Dataset.range(10**6).map(
    lambda number: numpy_op(work, lambda number: number, [number], tf.int64),
    num_parallel_calls=2,
).prefetch(2)
iterator = iter(dataset)
next(iterator)
print("done", flush=True)
{ending}
"""


@pytest.mark.parametrize("ending, status", [("", 0), ("raise SystemExit(3)", 3), ("1 / 0", 1)])
def test_the_interpreter_exits_with_a_dataset_alive(ending, status):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(ending=ending)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": ":".join(sys.path)},
    )
    assert result.stdout == "done\n"
    assert result.returncode == status
