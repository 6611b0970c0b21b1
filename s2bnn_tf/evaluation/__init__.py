"""Checkpoint to numbers and pictures: kNN, linear probes and the report."""

from s2bnn_tf.evaluation.compare import compare_models, describe_comparison
from s2bnn_tf.evaluation.embed import embed_images
from s2bnn_tf.evaluation.evaluate import (
    evaluate_finetune,
    evaluate_knn,
    evaluate_linear,
    evaluate_low_label,
)
from s2bnn_tf.evaluation.evaluate_calibration import evaluate_calibration
from s2bnn_tf.evaluation.features import extract_features
from s2bnn_tf.evaluation.gallery import Gallery, make_gallery
from s2bnn_tf.evaluation.knn import knn_accuracy, nearest_neighbours
from s2bnn_tf.evaluation.linear_probe import fit_linear_probe
from s2bnn_tf.evaluation.linear_protocol import train_linear_probe
from s2bnn_tf.evaluation.mistakes import Mistakes, find_mistakes
from s2bnn_tf.evaluation.monitor import knn_monitor
from s2bnn_tf.evaluation.report import (
    read_column,
    read_gallery,
    read_mistakes,
    write_report,
    write_run_report,
)
from s2bnn_tf.evaluation.results import results_dir
from s2bnn_tf.evaluation.summary import ReportColumn
from s2bnn_tf.evaluation.words import describe_calibration, describe_low_label

__all__ = [
    "Gallery",
    "Mistakes",
    "ReportColumn",
    "compare_models",
    "describe_calibration",
    "describe_comparison",
    "describe_low_label",
    "embed_images",
    "evaluate_calibration",
    "evaluate_finetune",
    "evaluate_knn",
    "evaluate_linear",
    "evaluate_low_label",
    "extract_features",
    "find_mistakes",
    "fit_linear_probe",
    "knn_accuracy",
    "knn_monitor",
    "make_gallery",
    "nearest_neighbours",
    "read_column",
    "read_gallery",
    "read_mistakes",
    "results_dir",
    "train_linear_probe",
    "write_report",
    "write_run_report",
]
