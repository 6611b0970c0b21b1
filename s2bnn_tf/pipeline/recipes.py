"""The shipped recipes of a fit's stages."""

from __future__ import annotations

from s2bnn_tf.config import Config, load_config
from s2bnn_tf.recipes import config_path

_FILES = {
    "teacher": "fit/teacher.yaml",
    "step1": "fit/regression_step1.yaml",
    "student": "fit/regression_step2.yaml",
}


def load(stage: str, overrides: tuple[str, ...]) -> Config:
    """Load the recipe of a stage with changes.

    Raises:
        ConfigError: If a change is not possible.
    """
    return load_config(config_path(_FILES[stage]), overrides)
