"""A clean terminal, and one sentence where Larq could not work."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from s2bnn_tf import environment
from s2bnn_tf.errors import UserError

ROOT = Path(__file__).resolve().parent.parent

IMPORT_EVERYTHING = """
from s2bnn_tf.environment import quiet_tensorflow
quiet_tensorflow()
import tensorflow, larq, larq_zoo, larq_compute_engine, tensorflow_addons, tensorflow_datasets
import matplotlib.pyplot, sklearn.linear_model
import s2bnn_tf.backbones, s2bnn_tf.data, s2bnn_tf.objectives
import s2bnn_tf.training, s2bnn_tf.evaluation, s2bnn_tf.export
tensorflow.get_logger().warning("one of those that saving a model gives")
"""


def run(code: str, **variables: str) -> subprocess.CompletedProcess:
    ours = {"TF_CPP_MIN_LOG_LEVEL", "TF_USE_LEGACY_KERAS", "KERAS_BACKEND", "PYTHONWARNINGS"}
    inherited = {key: value for key, value in os.environ.items() if key not in ours}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_everything_prints_nothing():
    done = run(IMPORT_EVERYTHING)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_users_own_log_level_is_kept(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    environment.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_the_tested_set_is_accepted(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # Keras 2.15 ignores it
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    environment.require_keras_2()


@pytest.mark.skipif(environment.find_spec("tf_keras") is not None, reason="tf_keras is installed")
@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_legacy_keras_is_told_in_one_sentence(value):
    """Without the check it ends in `ImportError: Keras cannot be imported`."""
    code = (
        "from s2bnn_tf.errors import UserError\n"
        "try:\n    import s2bnn_tf.layers\nexcept UserError as error:\n    print(error)"
    )
    done = run(code, TF_USE_LEGACY_KERAS=value)
    assert done.stdout.startswith("TF_USE_LEGACY_KERAS asks for the package tf_keras"), done.stderr
    assert "unset the variable" in done.stdout


@pytest.mark.parametrize(
    ("package", "found"), [("tensorflow", "2.16.1"), ("keras", "3.3.3"), ("keras", None)]
)
def test_another_keras_is_told_in_one_sentence(monkeypatch, package, found):
    def version(name: str) -> str:
        if name != package:
            return "2.15.0"
        if found is None:
            raise PackageNotFoundError(name)
        return found

    monkeypatch.setattr(environment, "version", version)
    with pytest.raises(UserError) as told:
        environment.require_keras_2()
    assert package in str(told.value) and (found or "not installed") in str(told.value)
    assert "tensorflow==2.15.1" in str(told.value)
