"""`s2bnn import-zoo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import (
    FILE,
    RUN,
    images_later_option,
    input_size_option,
    json_option,
)
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.image_size import ImageSize


@main.command(name="import-zoo")
@click.argument("weights", type=FILE)
@click.argument("output_dir", type=RUN)
@images_later_option
@input_size_option
@json_option
def import_zoo(
    weights: Path, output_dir: Path, data: str, image_size: ImageSize, as_json: bool
) -> None:
    """Turn the WEIGHTS.h5 of a QuickNet of Larq Zoo into a run directory.

    The size of the network is recognized. A classifier in the file serves `s2bnn convert --head
    linear`. Larq Zoo need not be installed.

    \b
    Example:
      s2bnn import-zoo quicknet_small_weights.h5 runs/quicknet_small
      s2bnn convert runs/quicknet_small quicknet_small.tflite --head linear --data folder:photos
    """
    from s2bnn_tf.runs import import_zoo as import_weights

    record = import_weights(weights, output_dir, data=data, image_size=image_size)
    print_result(record, as_json, lambda: _describe(record, output_dir))


def _describe(record: dict[str, Any], output_dir: Path) -> str:
    classes = record["classes"]
    what = record["architecture"] + (f" with a classifier of {classes} classes" if classes else "")
    return (
        f"{what}: {record['tensors_used']} arrays, all of them used.\n"
        f"{output_dir} is a run directory; next, run: s2bnn eval knn {output_dir} --data SOURCE"
    )
