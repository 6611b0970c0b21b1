"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.defaults import TARGETS

RUN = click.Path(path_type=Path, file_okay=False)
RUN_OR_MODEL = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
runtime_option = click.option(
    "--runtime",
    type=click.Choice(["lce", "s2bnn"]),
    help="The runtime for a .tflite: Larq Compute Engine or s2bnn_runtime. "
    "Default: s2bnn if it is installed.",
)
data_option = click.option(
    "--data",
    metavar="SOURCE",
    help="Images: a folder, list:FILE, digits, idx:DIR, tfrecord:DIR or tfds:NAME. "
    "Default: the images that the model was trained on.",
)
target_option = click.option(
    "--target",
    type=click.Choice(TARGETS),
    default=TARGETS[0],
    help="The kind of device. A Raspberry Pi with a 64-bit system is linux-aarch64.",
)
