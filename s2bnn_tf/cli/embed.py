"""`s2bnn embed`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, RUN_OR_MODEL, json_option, runtime_option, told_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress


@main.command()
@click.argument("run_or_model", type=RUN_OR_MODEL)
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=FILE, required=True, help="The .npz file to write.")
@told_option
@runtime_option
@json_option
def embed(
    run_or_model: Path,
    images: tuple[Path, ...],
    output: Path,
    changes: tuple[str, ...],
    runtime: str | None,
    as_json: bool,
) -> None:
    """Embed IMAGES, which are files or folders.

    RUN_OR_MODEL is a run directory, a .tflite, or whatever can be a teacher. The output holds the
    arrays paths, features and embeddings; of a .tflite, the one that it computes. Files
    that cannot be read are skipped and listed.

    \b
    Example:
      s2bnn embed student.tflite photos/ cat.jpg --output embeddings.npz
    """
    from s2bnn_tf.evaluation import embed_images
    from s2bnn_tf.teachers import open_as_told

    encoder = open_as_told(run_or_model, changes, runtime)
    result = embed_images(run_or_model, images, output, encoder=encoder, progress=show_progress)
    print_result(result, as_json, lambda: f"{result['images']} images embedded in {output}.")
