"""`s2bnn words`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, json_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress


@main.command()
@click.argument("source", metavar="FILE.txt")
@click.argument("output", metavar="OUT.npz", type=FILE)
@click.option(
    "--teacher",
    metavar="NAME",
    help="In whose space the words are: a published teacher, a run directory or a file. Alone, its "
    "text tower embeds them.",
)
@click.option("--vectors", type=FILE, help="An .npz of names and rows that were made elsewhere.")
@click.option("--text-encoder", type=FILE, help="An .onnx with its tokenizer.json beside it.")
@click.option(
    "--template",
    "templates",
    multiple=True,
    metavar="TEXT",
    help="A text with {} where the name goes; several are averaged. Default: what suits the "
    "encoder.",
)
@click.option(
    "--pictures",
    type=FILE,
    help="The student's vectors of pictures, by s2bnn embed or s2bnn-run index: where pictures "
    "are, and the threshold.",
)
@click.option(
    "--everyday", is_flag=True, help="Add the 1,000 everyday words, as axes for training."
)
@json_option
def words(
    source: str,
    output: Path,
    teacher: str | None,
    vectors: Path | None,
    text_encoder: Path | None,
    templates: tuple[str, ...],
    pictures: Path | None,
    everyday: bool,
    as_json: bool,
) -> None:
    """Make the classes in FILE.txt, named in words, into a file that a device takes.

    One class a line: a name, or `name: description; another description`. `everyday` is a list of
    1,000 everyday words, and `-` takes all names of --vectors. The encoder on the device must end
    in the same space: s2bnn convert --head teacher.

    \b
    Example:
      s2bnn words words.txt words.npz --teacher clip_vit_b32
      s2bnn words - words.npz --vectors vectors.npz --teacher runs/teacher
    """
    from s2bnn_tf.teachers import make_words

    result = make_words(
        source,
        output,
        teacher=teacher,
        vectors=vectors,
        text_encoder=text_encoder,
        templates=templates,
        pictures=pictures,
        everyday=everyday,
        progress=show_progress,
    )
    print_result(result, as_json, lambda: _describe(result))


def _describe(result: dict[str, Any]) -> str:
    said = f"{result['output']}: {result['words']:,} words of {result['dim']} numbers."
    if result["threshold"] is None:
        return (
            f"{said} They reject nothing: a threshold comes from pictures (--pictures), or give "
            "one to s2bnn-run classify --threshold."
        )
    least = f"{result['threshold']:.4f}"
    return f"{said} A picture whose cosine to every word is below {least} is rejected."
