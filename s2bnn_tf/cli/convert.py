"""`s2bnn convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, RUN, data_option, json_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.collecting import few_collections
from s2bnn_tf.progress import show_progress


@main.command()
@click.argument("run", type=RUN)
@click.argument("output", type=FILE)
@click.option(
    "--head",
    type=click.Choice(
        ["none", "projection", "linear", "teacher", "map", "features+map", "teacher+map"]
    ),
    default="none",
    help="The output: features, embeddings, class scores (after `s2bnn eval linear`), embeddings "
    "that can be compared with the teacher's, or the features of every place, alone or as a "
    "second output.",
)
@click.option(
    "--map-stride",
    type=click.IntRange(1),
    metavar="N",
    help="The pixels to one place of the map. Default: half of those of the network's last map.",
)
@click.option(
    "--fold/--no-fold",
    default=True,
    help="Fold the shifts around the activations into their neighbors: faster, and the same "
    "function up to float rounding.",
)
@click.option(
    "--head-bits",
    type=click.Choice(["8", "32"]),
    default="8",
    help="Bits per weight of the projection or the classifier. The card reports how rounding "
    "to 8 bits changes the outputs.",
)
@click.option(
    "--int8",
    is_flag=True,
    help="Quantize a real-valued student to 8-bit integers, with TensorFlow Lite's own converter. "
    "The image and the output stay float32.",
)
@click.option(
    "--calibrate",
    metavar="SOURCE",
    help="The images on which --int8 measures the ranges of all maps, as for --data. Default: "
    "128 of the images that it was trained on.",
)
@data_option
@json_option
def convert(
    run: Path,
    output: Path,
    head: str,
    fold: bool,
    head_bits: str,
    map_stride: int | None,
    int8: bool,
    calibrate: str | None,
    data: str | None,
    as_json: bool,
) -> None:
    """Convert the encoder in RUN to OUTPUT.tflite, and verify the file.

    The file takes RGB images, 0-255. Its JSON card, written beside it, describes the input, the
    output, the size, the operations and the verification.

    \b
    Example:
      s2bnn convert runs/digits/step2 student.tflite
      s2bnn convert runs/digits/step2 classifier.tflite --head linear
      s2bnn convert runs/digits/step2 parts.tflite --head features+map
      s2bnn convert runs/digits/teacher teacher.tflite --int8
    """
    with few_collections():
        from s2bnn_tf.export import convert_run

    card = convert_run(
        run,
        output,
        head=head,
        fold=fold,
        head_bits=int(head_bits),
        map_stride=map_stride,
        data=data,
        int8=int8,
        calibrate=calibrate,
        progress=show_progress,
    )
    print_result(card, as_json, lambda: _describe_card(output, card))


def _describe_card(output: Path, card: dict[str, Any]) -> str:
    size = f"{card['size_bytes'] / 1024:.0f} KiB"
    return f"{output}: {size}, verified. Its card is {output.with_suffix('.json')}."
