"""From a checkpoint to a device: convert, verify, measure, bundle and deploy."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.errors import ParityError
from s2bnn_tf.export.benchmark import benchmark, describe_benchmark
from s2bnn_tf.export.bundle import bundle
from s2bnn_tf.export.c_source import export_c
from s2bnn_tf.export.convert import convert_run, export_encoder
from s2bnn_tf.export.deploy import deploy_bundle
from s2bnn_tf.export.deployment import deployment_model
from s2bnn_tf.export.lce import convert, convert_model
from s2bnn_tf.export.operations import count_operations
from s2bnn_tf.export.picture_index import index_pictures
from s2bnn_tf.export.verify import ParityReport, verify
from s2bnn_tf.export.web import export_web

__all__ = [
    "ParityError",
    "ParityReport",
    "benchmark",
    "bundle",
    "convert",
    "convert_model",
    "convert_run",
    "count_operations",
    "deploy_bundle",
    "deployment_model",
    "describe_benchmark",
    "export_c",
    "export_encoder",
    "export_web",
    "index_pictures",
    "verify",
]
