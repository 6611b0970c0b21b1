"""`s2bnn embed`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, RUN_OR_MODEL, json_option, runtime_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress


@main.command()
@click.argument("run_or_model", type=RUN_OR_MODEL)
@click.argument("images", nargs=-1, required=True)
@click.option("--output", type=FILE, required=True, help="The .npz file to write.")
@runtime_option
@json_option
def embed(
    run_or_model: Path, images: tuple[str, ...], output: Path, runtime: str | None, as_json: bool
) -> None:
    """Embed IMAGES: files, folders, videos, or other sources that `s2bnn fit` takes.

    The frames of a video are those that `s2bnn fit` takes. The output holds the arrays paths,
    features and embeddings; of a .tflite, the one that it computes. Files that cannot be read are
    skipped and listed.

    \b
    Example:
      s2bnn embed student.tflite photos/ cat.jpg clip.mp4 --output embeddings.npz
    """
    from s2bnn_tf.evaluation import embed_images

    result = embed_images(run_or_model, images, output, runtime=runtime, progress=show_progress)
    print_result(result, as_json, lambda: f"{result['images']} images embedded in {output}.")
