"""`s2bnn export-web`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, json_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress


@main.command("export-web")
@click.argument("model", type=FILE)
@click.argument("output_dir", type=click.Path(path_type=Path))
@click.option(
    "--prototypes",
    type=FILE,
    help="Classes that the page begins with, by `s2bnn-run enroll` or `s2bnn words`.",
)
@json_option
def export_web(model: Path, output_dir: Path, prototypes: Path | None, as_json: bool) -> None:
    """Write MODEL.tflite, or starter, as a page of static files to OUTPUT_DIR.

    The page classifies and searches the pictures that are dropped on it or come from the camera,
    in the browser alone. Classes are enrolled in the page and kept there. Open index.html, or put
    the folder on any web server. It needs the compiler Zig: pip install 's2bnn_tf[web]'.

    \b
    Example:
      s2bnn export-web student.tflite page
    """
    from s2bnn_tf.export import export_web as write_page
    from s2bnn_tf.teachers import locate_model

    card = write_page(
        locate_model(model, must_exist=False),
        output_dir,
        prototypes=prototypes,
        progress=show_progress,
    )
    print_result(card, as_json, lambda: _describe(output_dir, card))


def _describe(output: Path, card: dict[str, Any]) -> str:
    whole, loaded = card["size_bytes"] / 1024, card["loaded_bytes"] / 1024
    return (
        f"{output}: {whole:.0f} KiB, of which a browser with vector instructions loads "
        f"{loaded:.0f}; open {output / 'index.html'}"
    )
