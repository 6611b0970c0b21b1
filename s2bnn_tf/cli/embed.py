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
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=FILE, required=True, help="The .npz file to write.")
@click.option(
    "--crops",
    default=1,
    type=click.IntRange(1, 256),
    help="Rows per image: so many random crops of it; 1 is the center view.",
)
@click.option("--seed", default=0, type=click.IntRange(0), help="Of the crops.")
@runtime_option
@json_option
def embed(
    run_or_model: Path,
    images: tuple[Path, ...],
    output: Path,
    crops: int,
    seed: int,
    runtime: str | None,
    as_json: bool,
) -> None:
    """Embed IMAGES, which are files or folders.

    The output holds the arrays paths, features and embeddings; of a .tflite, the one that it
    computes. Files that cannot be read are skipped and listed. The file can be a teacher.weights;
    with --crops it also says what each crop shows.

    \b
    Example:
      s2bnn embed student.tflite photos/ cat.jpg --output embeddings.npz
      s2bnn embed runs/teacher photos/ --crops 4 --output features.npz
    """
    from s2bnn_tf.evaluation import embed_images

    result = embed_images(
        run_or_model,
        images,
        output,
        crops=crops,
        seed=seed,
        runtime=runtime,
        progress=show_progress,
    )
    print_result(result, as_json, lambda: f"{result['images']} images embedded in {output}.")
