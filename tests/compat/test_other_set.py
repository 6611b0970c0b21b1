"""A run that was begun on this tested set is resumed, measured and converted on the other one, too.

The way back is tested where the other set runs this file. S2BNN_OTHER_PYTHON names the Python of
the other set, such as .venv-tf220/bin/python.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
OTHER = os.environ.get("S2BNN_OTHER_PYTHON", "")

pytestmark = pytest.mark.skipif(
    not OTHER, reason="S2BNN_OTHER_PYTHON names no Python of the other tested set"
)


def do(python: str, *arguments: str | Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TF_USE_LEGACY_KERAS", None)  # each set knows what it needs
    done = subprocess.run(
        [python, ROOT / "tests/compat/on_a_set.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def tensors(prefix: Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    names = [name for name in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in name]
    return {name: reader.get_tensor(name) for name in names}


def tensorflow_of(python: str) -> str:
    code = "from importlib.metadata import version; print(version('tensorflow'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_two_sets_are_two():
    assert tensorflow_of(OTHER) != tensorflow_of(sys.executable)


@pytest.mark.both_sets
def test_a_run_goes_from_one_set_to_the_other(tmp_path):
    first, second = sys.executable, OTHER
    run, model = tmp_path / "run", tmp_path / "student.tflite"
    do(first, "begin", run)
    do(second, "restore", run, tmp_path / "restored")
    saved, restored = tensors(run / "checkpoints/step-5"), tensors(tmp_path / "restored")
    assert saved.keys() == restored.keys()
    assert {name.split("/")[0] for name in saved} >= {"student", "momentum_encoder", "optimizer"}
    for name, value in saved.items():
        np.testing.assert_array_equal(restored[name], value, err_msg=name)

    do(second, "finish", run, model)  # the conversion verifies
    for name, python in (("first", first), ("second", second)):
        do(python, "measure", run, model, tmp_path / f"{name}.npy")
    there, here = (np.load(tmp_path / f"{name}.npy") for name in ("first", "second"))
    np.testing.assert_allclose(there, here, atol=1e-5)
    assert np.ptp(here) > 0.1
