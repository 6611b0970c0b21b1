"""From a checkpoint to numbers: kNN, linear probes, few labels, fine-tuning, calibration."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.evaluation.agreement import word_agreement
from s2bnn_tf.evaluation.embed import embed_images, embed_sources
from s2bnn_tf.evaluation.evaluate_calibration import evaluate_calibration
from s2bnn_tf.evaluation.evaluate_finetune import evaluate_finetune
from s2bnn_tf.evaluation.evaluate_knn import evaluate_knn
from s2bnn_tf.evaluation.evaluate_linear import evaluate_linear
from s2bnn_tf.evaluation.evaluate_low_label import evaluate_low_label
from s2bnn_tf.evaluation.feature_cache import FeatureCache
from s2bnn_tf.evaluation.features import ImageEncoder, extract_features, readable
from s2bnn_tf.evaluation.gallery import Gallery, make_gallery
from s2bnn_tf.evaluation.knn import knn_accuracy, nearest_neighbors
from s2bnn_tf.evaluation.linear_lbfgs import MAX_ITERATIONS, fit_linear_probe
from s2bnn_tf.evaluation.linear_sgd import train_linear_probe
from s2bnn_tf.evaluation.mistakes import Mistakes, find_mistakes
from s2bnn_tf.evaluation.monitor import knn_monitor, spread_monitor
from s2bnn_tf.evaluation.results import read_results, results_dir
from s2bnn_tf.evaluation.session import some_of
from s2bnn_tf.evaluation.spread import alignment, effective_rank, uniformity
from s2bnn_tf.evaluation.thumbnails import make_thumbnails

__all__ = [
    "MAX_ITERATIONS",
    "FeatureCache",
    "Gallery",
    "ImageEncoder",
    "Mistakes",
    "alignment",
    "effective_rank",
    "embed_images",
    "embed_sources",
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
    "make_thumbnails",
    "nearest_neighbors",
    "read_results",
    "readable",
    "results_dir",
    "some_of",
    "spread_monitor",
    "train_linear_probe",
    "uniformity",
    "word_agreement",
]
