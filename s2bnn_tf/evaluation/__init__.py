"""Checkpoint to numbers and pictures: kNN, linear probes and the report."""

from s2bnn_tf.evaluation.embed import embed_images
from s2bnn_tf.evaluation.evaluate import evaluate_knn, evaluate_linear
from s2bnn_tf.evaluation.features import extract_features
from s2bnn_tf.evaluation.gallery import Gallery, make_gallery
from s2bnn_tf.evaluation.knn import knn_accuracy, nearest_neighbours
from s2bnn_tf.evaluation.linear_probe import LinearProbe, fit_linear_probe
from s2bnn_tf.evaluation.linear_protocol import train_linear_probe
from s2bnn_tf.evaluation.monitor import knn_monitor
from s2bnn_tf.evaluation.report import (
    read_column,
    read_gallery,
    write_report,
    write_run_report,
)
from s2bnn_tf.evaluation.summary import ReportColumn

__all__ = [
    "Gallery",
    "LinearProbe",
    "ReportColumn",
    "embed_images",
    "evaluate_knn",
    "evaluate_linear",
    "extract_features",
    "fit_linear_probe",
    "knn_accuracy",
    "knn_monitor",
    "make_gallery",
    "nearest_neighbours",
    "read_column",
    "read_gallery",
    "train_linear_probe",
    "write_report",
    "write_run_report",
]
