"""The numbers of a run reach TensorBoard, MLflow and Weights & Biases, each read back by its own.

MLflow and Weights & Biases are extras; `make test-loggers` installs them in an environment of
their own and runs this file there.
"""

from __future__ import annotations

import importlib.util
import json

import pytest
import tensorflow as tf

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.training import check_loggers, pretrain
from s2bnn_tf.training.loggers import _Foreign, open_loggers


def losses(run: RunDirectory) -> dict[int, float]:
    rows = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    return {row["epoch"]: row["loss"] for row in rows}


def test_tensorboard_is_one_of_them(contrast, step1, change, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(step1.tensorboard)).Reload()
    written = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors("loss")}
    assert written == pytest.approx(losses(step1))
    quiet = pretrain(change(contrast, epochs=1, loggers=()), tmp_path)
    assert losses(quiet) and not quiet.tensorboard.exists()


@pytest.mark.slow  # in the environment that has it
@pytest.mark.filterwarnings("ignore")  # those of MLflow and its database
def test_mlflow_keeps_a_run_and_continues_it(contrast, change, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = change(contrast, loggers=("mlflow",))
    run = pretrain(change(config, epochs=1), tmp_path / "it's a run")
    run = pretrain(config, run.path)  # a longer recipe resumes
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{run.mlflow.resolve() / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name == "s2bnn_tf")
    (kept,) = client.search_runs([experiment.experiment_id])
    assert kept.info.status == "FINISHED"
    assert kept.data.params["data.batch_size"] == "256"
    history = client.get_metric_history(kept.info.run_id, "loss")
    assert {metric.step: metric.value for metric in history} == pytest.approx(losses(run))
    with open_loggers(("mlflow",), run, config, stopped=lambda: True):
        assert client.get_run(kept.info.run_id).info.status == "RUNNING"
    assert client.get_run(kept.info.run_id).info.status == "KILLED"


@pytest.mark.slow  # in the environment that has it
@pytest.mark.filterwarnings("ignore")  # those of wandb
def test_weights_and_biases_is_offline(contrast, change, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    monkeypatch.delenv("WANDB_MODE", raising=False)
    run = pretrain(change(contrast, loggers=("wandb",)), tmp_path / "run")
    (path,) = run.wandb.glob("offline-run-*/run-*.wandb")
    store = DataStore()
    store.open_for_scan(str(path))
    written = {}
    while (data := store.scan_data()) is not None:
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            row = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            written[row["epoch"]] = row["loss"]
    store.close()
    assert written == pytest.approx(losses(run))


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_logger_that_is_not_installed_is_refused_before_work_begins(
    name, contrast, change, tmp_path
):
    if importlib.util.find_spec(name):
        pytest.skip(f"a logger is installed: {name}")
    with pytest.raises(ConfigError, match=rf"run `pip install 's2bnn_tf\[{name}\]'`"):
        pretrain(change(contrast, loggers=(name,)), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    check_loggers(("tensorboard",))


def test_a_logger_that_fails_ends_the_run_only_at_its_start(contrast, tmp_path, caplog):
    class Fails:
        def __init__(self, run, config):
            if config is None:
                raise RuntimeError("no store\nand more")

        def log(self, epoch, values):
            raise RuntimeError("the store is gone.")

        def close(self, finished):
            raise AssertionError("it is not asked again")

    run = RunDirectory(tmp_path)
    with pytest.raises(ConfigError, match=r"loggers: x does not start \(no store\); mend"):
        _Foreign("x", Fails, run, None)
    logger = _Foreign("x", Fails, run, contrast)
    logger.log(1, {"loss": 1.0})
    logger.log(2, {"loss": 1.0})
    logger.close(True)
    assert caplog.messages == [
        "x has failed (the store is gone), and training continues without it; metrics.jsonl has "
        "all numbers."
    ]
