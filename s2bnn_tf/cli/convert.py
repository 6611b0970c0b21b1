"""`s2bnn convert`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, RUN, data_option, json_option
from s2bnn_tf.cli.output import print_result, say


@main.command()
@click.argument("run", type=RUN)
@click.argument("output", type=FILE)
@click.option(
    "--head",
    type=click.Choice(["none", "projection", "linear"]),
    default="none",
    show_default=True,
    help="Features, embeddings, or classes (after `s2bnn eval linear`).",
)
@click.option(
    "--fold/--no-fold",
    default=True,
    show_default=True,
    help="Fold the shifts around the activations into their neighbors: the same network, faster.",
)
@click.option(
    "--head-bits",
    type=click.Choice(["8", "32"]),
    default="8",
    show_default=True,
    help="Of the weights of the projection or classifier; the card says what rounding changed.",
)
@data_option
@json_option
def convert(
    run: Path,
    output: Path,
    head: str,
    fold: bool,
    head_bits: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Convert the encoder in RUN to OUTPUT.tflite, and verify the file.

    The file takes RGB images, 0-255. A JSON card beside it says all about it.

    \b
    Example:
      s2bnn convert runs/digits/step2 student.tflite
      s2bnn convert runs/digits/step2 classifier.tflite --head linear
    """
    from s2bnn_tf.export import convert_run

    card = convert_run(
        run, output, head=head, fold=fold, head_bits=int(head_bits), data=data, progress=say
    )
    print_result(card, as_json, lambda: _describe_card(output, card))


def _describe_card(output: Path, card: dict) -> str:
    size = f"{card['size_bytes'] / 1024:.0f} KiB"
    return f"{output}: {size}, verified; its card is {output.with_suffix('.json')}"
