"""`s2bnn data`: prepare images for training."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.errors import UserError
from s2bnn_tf.progress import show_progress


@main.group()
def data() -> None:
    """Prepare images for training.

    \b
    Example:
      s2bnn data pack folder:photos photos-packed
    """


@data.command()
@click.argument("source")
@click.argument("output_dir", type=click.Path(path_type=Path, file_okay=False))
def pack(source: str, output_dir: Path) -> None:
    """Pack the images of SOURCE, such as a folder, into TFRecord files in OUTPUT_DIR.

    Every image is decoded once, and those that cannot be read are left out. After an
    interruption, the same command resumes. Train on the result with
    data.source=tfrecord:OUTPUT_DIR.

    \b
    Example:
      s2bnn data pack folder:photos photos-packed
    """
    from s2bnn_tf.data import open_source
    from s2bnn_tf.data import pack as pack_source

    opened = [open_source(source, "train")]
    try:
        opened.append(open_source(source, "test"))
    except UserError as error:
        show_progress(f"Only the training images are packed: {error}")
    for images in opened:
        written = pack_source(images, output_dir, progress=show_progress)
        left_out = f", {written['unreadable']} left out" if written["unreadable"] else ""
        show_progress(
            f"{images.split}: {written['images']} images in {written['files']} files{left_out}"
        )
    click.echo(f"Train with --set data.source=tfrecord:{output_dir}")
