"""`s2bnn data`: images made ready for training."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.output import say, show_progress
from s2bnn_tf.errors import UserError


@main.group()
def data() -> None:
    """Make images ready for training."""


@data.command()
@click.argument("source")
@click.argument("output_dir", type=click.Path(path_type=Path, file_okay=False))
def pack(source: str, output_dir: Path) -> None:
    """Pack the folder of images SOURCE into TFRecord files in OUTPUT_DIR.

    Every image is decoded once, and those that cannot be read are left out. The same command
    goes on where it was interrupted. Train on the result with data.source=tfrecord:OUTPUT_DIR.

    \b
    Example:
      s2bnn data pack folder:photos photos-packed
    """
    from s2bnn_tf.data import open_source
    from s2bnn_tf.data import pack as pack_source

    if not source.startswith("folder:"):
        raise UserError(f"Only a folder can be packed, not {source}; write folder: and its path.")
    opened = [open_source(source, "train")]
    try:
        opened.append(open_source(source, "test"))
    except UserError as error:
        say(f"Only the training images are packed: {error}")
    for images in opened:
        written = pack_source(images, output_dir, progress=show_progress)
        left_out = f", {written['unreadable']} left out" if written["unreadable"] else ""
        say(f"{images.split}: {written['images']} images in {written['files']} files{left_out}")
    click.echo(f"Train with --set data.source=tfrecord:{output_dir}")
