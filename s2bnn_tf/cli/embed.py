"""`s2bnn embed`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, RUN_OR_MODEL, changes_option, json_option, runtime_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress
from s2bnn_tf.text import counted, printable


class _Shard(click.ParamType):
    """One of several parts, such as 3/64."""

    name = "shard"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        number, _, count = str(value).partition("/")
        if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return int(number), int(count)
        self.fail(f"expected 3/64, the third of 64 parts, not {value!r}.")


@main.command()
@click.argument("run_or_model", type=RUN_OR_MODEL)
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--output", type=FILE, required=True, help="The file to write: *.npz, *.npy or *.parquet."
)
@click.option(
    "--shard",
    type=_Shard(),
    default="1/1",
    metavar="I/N",
    help="Embed only the I-th of N parts, from 1 on, one for each of N workers.",
)
@click.option(
    "--crops",
    default=1,
    type=click.IntRange(1, 256),
    help="Rows per image: so many random crops of it; 1 is the center view.",
)
@click.option("--seed", default=0, type=click.IntRange(0), help="Of the crops.")
@changes_option
@runtime_option
@json_option
def embed(
    run_or_model: Path,
    images: tuple[str, ...],
    output: Path,
    shard: tuple[int, int],
    crops: int,
    seed: int,
    changes: tuple[str, ...],
    runtime: str | None,
    as_json: bool,
) -> None:
    """Embed IMAGES: files, folders, videos, or other sources that `s2bnn fit` takes.

    RUN_OR_MODEL is a run directory, a .tflite, or whatever can be a teacher. The frames of a video
    are those that `s2bnn fit` takes. The output holds the arrays paths, features and embeddings; of
    a .tflite, the one that it computes. An .npy holds one array, with the paths beside it. Files
    that cannot be read are left out and named, and the exit code is then 1. An .npz or .parquet can
    be a teacher.weights; with --crops, an .npz also says what each crop shows.

    \b
    Example:
      s2bnn embed student.tflite photos/ cat.jpg clip.mp4 --output embeddings.npz
      s2bnn embed runs/teacher photos/ --crops 4 --output features.npz
    """
    from s2bnn_tf.evaluation import embed_images
    from s2bnn_tf.teachers import open_with_changes

    encoder = open_with_changes(run_or_model, changes, runtime)
    result = embed_images(
        run_or_model,
        images,
        output,
        shard=shard,
        crops=crops,
        seed=seed,
        encoder=encoder,
        progress=show_progress,
    )
    count = counted(result["images"], "image")
    print_result(result, as_json, lambda: f"{count} embedded in {output}.")
    if result["skipped"]:
        click.echo(printable(_describe_skipped(result)), err=True)
        sys.exit(1)


def _describe_skipped(result: dict[str, Any]) -> str:
    count, first = result["skipped"], result["first_skipped"]
    if count == 1:
        return f"1 image cannot be read and was left out: {first}."
    return f"{counted(count, 'image')} cannot be read and were left out, such as {first}."
