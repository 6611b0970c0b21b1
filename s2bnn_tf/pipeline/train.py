"""One stage as `s2bnn train` runs it: with its scores and its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from s2bnn_tf.config import load_config
from s2bnn_tf.evaluation import knn_monitor, spread_monitor
from s2bnn_tf.report import write_run_report
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.training import is_chief, open_strategy, pretrain


def train_recipe(
    recipe: str | Path,
    output_dir: str | Path,
    *,
    overrides: Sequence[str] = (),
    resume: bool = True,
    callbacks: Sequence[tf.keras.callbacks.Callback] = (),
) -> RunDirectory | None:
    """Train the student, or the teacher, that a recipe describes, as `s2bnn train` does.

    Args:
        recipe: A YAML file; `s2bnn_tf.recipes.config_path` finds those that are shipped.
        output_dir: The run directory. An unfinished run of the same recipe in it is resumed.
        overrides: Changes to the recipe, as `"section.key=value"`.
        resume: Whether to resume; False refuses a directory that already holds a run.
        callbacks: Callbacks of Keras; see `pretrain`.

    Returns:
        The run directory, with its weights and its report; None in a worker that is not the
        chief, which leaves the report to that one.

    Raises:
        UserError: If the recipe is not possible here; see `load_config` and `pretrain`.
        TrainingStopped: After Ctrl-C or SIGTERM, when everything is saved.
    """
    config = load_config(recipe, overrides)
    strategy = open_strategy(config.distribution)  # before anything is computed
    monitors: dict[str, Any] = {}
    if config.monitor.knn_every:
        knn = knn_monitor(config)
        monitors = {"spread": spread_monitor(config), **({"knn": knn} if knn else {})}
    run = pretrain(
        config,
        output_dir,
        resume=resume,
        monitors=monitors,
        callbacks=callbacks,
        strategy=strategy,
    )
    if not is_chief(strategy):
        return None
    write_run_report(run.path)
    return run
