"""A clean terminal, and one sentence where Larq could not work."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

from s2bnn_tf import environment

pytestmark = pytest.mark.both_sets

ROOT = Path(__file__).resolve().parent.parent

IMPORT_EVERYTHING = """
import importlib.util
from s2bnn_tf.environment import quiet_tensorflow
quiet_tensorflow()
import tensorflow, larq, larq_compute_engine
import matplotlib.pyplot, sklearn.linear_model
import s2bnn_tf.backbones, s2bnn_tf.data, s2bnn_tf.objectives
import s2bnn_tf.training, s2bnn_tf.evaluation, s2bnn_tf.export
for optional in ("larq_zoo", "tensorflow_datasets"):
    if importlib.util.find_spec(optional):
        importlib.import_module(optional)
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
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # Keras 2 ignores it
    environment.require_keras_2()


SENTENCE = """
from s2bnn_tf.errors import UserError
try:
    import s2bnn_tf.{package}
except UserError as error:
    print(error)
"""


def told(code: str, **variables: str) -> str:
    """The one sentence that code prints, without a traceback."""
    done = run(code, **variables)
    assert done.stderr == "" and done.stdout.count("\n") == 1, done.stderr
    return done.stdout.strip()


def with_version(folder: Path, package: str, number: str) -> str:
    """A path on which a package says that it has this version."""
    info = folder / f"{package}-{number}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {number}\n")
    return str(folder)


with_tf_keras = pytest.mark.only_with("2.20", "a Keras 3 that could be used instead")
without_tf_keras = pytest.mark.only_with("2.15", "a TensorFlow that needs no tf_keras")
KERAS = "keras" if find_spec("tf_keras") is None else "tf_keras"
OTHER_KERAS = "2.14.0" if KERAS == "keras" else "2.19.0"


@pytest.mark.parametrize(
    ("package", "number", "words"),
    [
        ("tensorflow", "2.16.1", "Larq needs tensorflow 2.15 or 2.19 or 2.20 or 2.21 and found"),
        ("tensorflow", "3.0.0", "Larq needs tensorflow 2.15 or 2.19 or 2.20 or 2.21 and found"),
        (KERAS, OTHER_KERAS, f"Larq needs {KERAS} 2."),
        ("numpy", "2.1.3", "Larq Compute Engine needs NumPy 1 and found 2.1.3"),
    ],
)
def test_a_version_that_does_not_work(tmp_path, package, number, words):
    sentence = told(
        SENTENCE.format(package="layers"), PYTHONPATH=with_version(tmp_path, package, number)
    )
    assert sentence.startswith(words) and number in sentence
    assert "`pip install " in sentence and '"numpy<2"' in sentence


@with_tf_keras
def test_numpy_2_will_do_where_larq_compute_engine_is_not_installed(monkeypatch):
    """As in a hosted notebook, where a conversion makes an environment of its own."""
    versions = {"numpy": "2.1", "larq_compute_engine": None}
    found = environment._minor
    monkeypatch.setattr(
        environment, "_minor", lambda name: versions[name] if name in versions else found(name)
    )
    environment.require_keras_2()


def test_a_package_checks_before_it_loads_tensorflow(tmp_path):
    """`tests/test_imports.py` finds that every one begins with this check."""
    path = with_version(tmp_path, "numpy", "2.0.0")
    sentence = told(SENTENCE.format(package="training"), PYTHONPATH=path)
    assert sentence.startswith("Larq Compute Engine needs NumPy 1 and found 2.0.0")


@pytest.mark.parametrize("package", ["tensorflow", KERAS, "protobuf", "numpy", "larq"])
def test_a_package_that_is_missing(tmp_path, package):
    """Python without its own site-packages gets a folder that links to all but one of them."""
    site = Path(sysconfig.get_path("purelib"))
    for entry in site.iterdir():
        if not entry.name.lower().startswith(f"{package}-"):
            (tmp_path / entry.name).symlink_to(entry)
    code = f"import sys\nsys.path[:] = [p for p in sys.path if p != {str(site)!r}]\n"
    sentence = told(code + SENTENCE.format(package="layers"), PYTHONPATH=str(tmp_path))
    assert package in sentence.lower()
    assert "not installed" in sentence or "found none" in sentence
    cure = (
        environment.tested_set() if package != "larq" else "--no-deps larq==0.14.0 terminaltables"
    )
    assert f"`pip install {cure}`" in sentence


@without_tf_keras
@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_legacy_keras_is_told_in_one_sentence(value):
    """Without the check it ends in `ImportError: Keras cannot be imported`."""
    sentence = told(SENTENCE.format(package="layers"), TF_USE_LEGACY_KERAS=value)
    assert sentence.startswith("TF_USE_LEGACY_KERAS asks for the package tf_keras")
    assert "unset the variable" in sentence


@with_tf_keras
def test_keras_3_in_use_is_told_in_one_sentence():
    first = "import tensorflow as tf\ntf.keras.layers\n"
    sentence = told(first + SENTENCE.format(package="layers"), TF_CPP_MIN_LOG_LEVEL="3")
    assert sentence.startswith("tf.keras is Keras 3 here")
    assert "`export TF_USE_LEGACY_KERAS=1`" in sentence


@with_tf_keras
def test_keras_3_by_choice_is_told_in_one_sentence():
    sentence = told(SENTENCE.format(package="layers"), TF_USE_LEGACY_KERAS="0")
    assert sentence.startswith("TF_USE_LEGACY_KERAS is '0', and Larq needs Keras 2")


@pytest.mark.parametrize("first", ["", "import tensorflow as tf\n"])
def test_tf_keras_is_keras_2_however_the_package_is_imported(first):
    code = f"{first}import s2bnn_tf.layers, tensorflow as tf\nprint(tf.keras.Model.__module__)"
    assert told(code, TF_CPP_MIN_LOG_LEVEL="3") == f"{KERAS}.src.engine.training"
