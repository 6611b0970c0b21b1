"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from s2bnn_tf.defaults import TARGETS
from s2bnn_tf.image_size import ImageSize, image_size


class _Size(click.ParamType):
    """The side of a square in pixels, or height and width joined by an x."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> ImageSize:
        sides = str(value).split("x")
        if len(sides) > 2 or not all(side.isdecimal() and int(side) >= 8 for side in sides):
            self.fail(f"expected 224 or 96x320, at least 8 pixels each, not {value!r}.")
        return image_size((int(sides[0]), int(sides[-1])))


class _File(click.Path):
    """A file; where a folder is given that holds models, they are named."""

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Any:
        inside = sorted(Path(value).glob("*.tflite")) if Path(value).is_dir() else []
        if inside:
            self.fail(f"{value} is a folder; name the model in it, {inside[0]}.")
        return super().convert(value, param, context)


SIZE = _Size()
RUN = click.Path(path_type=Path, file_okay=False)
RUN_OR_MODEL = click.Path(path_type=Path)
FILE = _File(path_type=Path, dir_okay=False)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
runtime_option = click.option(
    "--runtime",
    type=click.Choice(["lce", "s2bnn"]),
    help="The runtime for a .tflite: Larq Compute Engine or s2bnn_runtime. "
    "Default: s2bnn if it is installed.",
)
changes_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="What a .keras or .onnx file takes and returns: mean, std, image_size, output or resize, "
    "as in a recipe's section teacher.",
)
data_option = click.option(
    "--data",
    metavar="SOURCE",
    help="Images: a folder, list:FILE, video:PATH, digits, idx:DIR, tfrecord:DIR or tfds:NAME. "
    "Default: the images that the model was trained on.",
)
images_later_option = click.option(
    "--data",
    metavar="SOURCE",
    default="folder:/data/imagenet",
    help="Images for later commands: digits, idx:DIR or folder:DIR.",
)
input_size_option = click.option(
    "--image-size",
    metavar="SIZE",
    default="224",
    type=SIZE,
    help="Side of the input in pixels, or height and width, as in 96x320.",
)
target_option = click.option(
    "--target",
    type=click.Choice(TARGETS),
    default=TARGETS[0],
    help="The kind of device. A Raspberry Pi with a 64-bit system is linux-aarch64.",
)
