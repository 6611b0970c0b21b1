"""Who gets the numbers of each epoch beside `metrics.jsonl`: the key `loggers` of a recipe."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import tensorflow as tf

from s2bnn_tf.config import Config, to_dict
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.runs import RunDirectory

log = logging.getLogger(__name__)

_PROJECT = "s2bnn_tf"  # the experiment of MLflow, and the project of Weights & Biases


class Logger(Protocol):
    """Keeps the numbers of a run for another program."""

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Keep the numbers of an epoch, which is counted from 1."""

    def close(self, finished: bool) -> None:
        """End, and say whether the run reached its end."""


class TensorBoard:
    """Event files in `tensorboard/` of the run directory.

    Args:
        run: The run directory.
        config: The recipe.
    """

    def __init__(self, run: RunDirectory, config: Config):
        self.writer = tf.summary.create_file_writer(str(run.tensorboard))

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        with self.writer.as_default(step=epoch):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self.writer.flush()

    def close(self, finished: bool) -> None:
        self.writer.close()


class MLflow:
    """A run of MLflow, in the store that MLFLOW_TRACKING_URI names.

    Without that variable, the store is the SQLite database `mlflow/mlflow.db` in the run
    directory. A resumed run continues its run there.

    Args:
        run: The run directory.
        config: The recipe, which becomes the parameters.
    """

    def __init__(self, run: RunDirectory, config: Config):
        import mlflow

        self.entities = mlflow.entities
        folder = run.mlflow.resolve()
        store = os.environ.get("MLFLOW_TRACKING_URI")
        if not store:
            folder.mkdir(parents=True, exist_ok=True)
            store = f"sqlite:///{folder / 'mlflow.db'}"
        self.client = mlflow.MlflowClient(tracking_uri=store)
        found = self.client.get_experiment_by_name(_PROJECT)
        experiment = (
            found.experiment_id if found else self.client.create_experiment(_PROJECT, str(folder))
        )
        self.run_id = self._find(experiment, str(run.path.resolve()))
        if self.run_id is None:
            self.run_id = self._create(experiment, run, config)
        self.client.update_run(self.run_id, status="RUNNING")

    def _find(self, experiment: str, path: str) -> str | None:
        """The run of MLflow that an earlier start has made."""
        # By the digest, since MLflow's filters have no way to write every path.
        runs = self.client.search_runs([experiment], f"tags.run_digest = '{_digest(path)}'")
        return str(runs[0].info.run_id) if runs else None

    def _create(self, experiment: str, run: RunDirectory, config: Config) -> str:
        path = run.path.resolve()
        tags = {"run_directory": str(path), "run_digest": _digest(str(path))}
        made = self.client.create_run(experiment, tags=tags, run_name=path.name).info.run_id
        for key, value in _dotted(to_dict(config)).items():
            self.client.log_param(made, key, value)
        return str(made)

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = [self.entities.Metric(name, v, now, epoch) for name, v in values.items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def close(self, finished: bool) -> None:
        self.client.set_terminated(self.run_id, "FINISHED" if finished else "KILLED")


def _digest(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()


class WeightsAndBiases:
    """A run of Weights & Biases in `wandb/` of the run directory.

    It is offline, for `wandb sync` to send later, unless WANDB_MODE is set.

    Args:
        run: The run directory.
        config: The recipe.
    """

    def __init__(self, run: RunDirectory, config: Config):
        import wandb

        run.wandb.mkdir(parents=True, exist_ok=True)
        mode = os.environ.get("WANDB_MODE", "offline")
        path = run.path.resolve()
        self.run = wandb.init(
            mode=mode,
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=path.name,
            # The same for a resumed run, so that its parts become one when they are sent.
            id=_digest(str(path))[:16],
            resume=None if mode == "offline" else "allow",
            dir=str(path),
            config=to_dict(config),
            reinit="create_new",  # a run that the caller has begun stays the caller's
            settings=wandb.Settings(silent=True),
        )

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        self.run.log({"epoch": epoch, **values})

    def close(self, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 1)


# By name: the package that is needed, what `pip install` calls it, and the class.
_LOGGERS: dict[str, tuple[str, str, type[Any]]] = {
    "tensorboard": ("tensorboard", "tensorboard", TensorBoard),
    "mlflow": ("mlflow", "s2bnn_tf[mlflow]", MLflow),
    "wandb": ("wandb", "s2bnn_tf[wandb]", WeightsAndBiases),
}


def check_loggers(names: Sequence[str]) -> None:
    """Check that what loggers need is installed.

    Args:
        names: Any of `tensorboard`, `mlflow` and `wandb`.

    Raises:
        ConfigError: If a package is missing; the message names the command that installs it.
    """
    for name in names:
        package, requirement, _ = _LOGGERS[name]
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"loggers: {package} is not installed; run `pip install '{requirement}'`, or "
                f"leave {name} out."
            )


@contextmanager
def open_loggers(
    names: Sequence[str], run: RunDirectory, config: Config, *, stopped: Callable[[], bool]
) -> Iterator[list[Logger]]:
    """Open loggers, and close them with the word whether training reached its end.

    Args:
        names: Any of `tensorboard`, `mlflow` and `wandb`.
        run: The run directory to write to.
        config: The recipe.
        stopped: A function that returns whether training was stopped before its end.

    Raises:
        ConfigError: If another program's logger does not start.
    """
    loggers: list[Logger] = []
    finished = False
    try:
        for name in names:
            kind = _LOGGERS[name][2]
            ours = kind is TensorBoard
            loggers.append(kind(run, config) if ours else _Foreign(name, kind, run, config))
        yield loggers
        finished = not stopped()
    finally:
        for logger in loggers:
            logger.close(finished)


class _Foreign:
    """Another program's logger: it must start, and what fails later does not end the run."""

    def __init__(self, name: str, kind: type[Any], run: RunDirectory, config: Config):
        self.name = name
        try:
            self.logger: Logger | None = kind(run, config)
        except Exception as error:  # these programs raise anything
            raise ConfigError(
                f"loggers: {name} does not start ({_reason(error)}); mend that, or leave it out."
            ) from error

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        self._try("log", epoch, values)

    def close(self, finished: bool) -> None:
        self._try("close", finished)

    def _try(self, method: str, *arguments: Any) -> None:
        if self.logger is None:
            return
        try:
            getattr(self.logger, method)(*arguments)
        except Exception as error:
            self.logger = None
            log.warning(
                "%s has failed (%s), and training continues without it; metrics.jsonl has all "
                "numbers.",
                self.name,
                _reason(error),
            )


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")[:200]


def _dotted(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The values of a recipe by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= _dotted(value, f"{path}{key}.")
        else:
            found[f"{path}{key}"] = value
    return found
