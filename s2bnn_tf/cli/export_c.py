"""`s2bnn export-c`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, json_option
from s2bnn_tf.cli.output import print_result


@main.command("export-c")
@click.argument("model", type=FILE)
@click.argument("output_dir", type=click.Path(path_type=Path))
@click.option(
    "--name",
    default="model",
    show_default=True,
    help="The beginning of the names of functions, macros and files, so that several networks "
    "fit into one program.",
)
@click.option(
    "--arena",
    type=click.Choice(["static", "external"]),
    default="static",
    show_default=True,
    help="Where the memory is: in the source, or given by the caller of every function, so that "
    "several threads can each have their own.",
)
@click.option(
    "--prototypes",
    type=FILE,
    help="Classes that `s2bnn-run enroll` made with this network: adds functions that classify, "
    "enroll, confirm and forget.",
)
@click.option(
    "--capacity",
    type=int,
    default=0,
    show_default=True,
    help="How many further classes can be enrolled on the device.",
)
@click.option(
    "--normal",
    type=FILE,
    help="What `s2bnn-run normal` learned with this network: adds a function that says whether a "
    "picture is unusual.",
)
@click.option(
    "--index",
    type=FILE,
    help="An index of `s2bnn-run index`: adds a search in its 1-bit codes.",
)
@click.option(
    "--input",
    "layout",
    type=click.Choice(["float", "rgb888", "rgb565", "gray8"]),
    default="float",
    show_default=True,
    help="What the source takes: a picture of the network's size in floats, or frames of a camera, "
    "which it crops and resizes as the host does.",
)
@click.option("--frame", metavar="WIDTHxHEIGHT", help="The size of the camera's frames.")
@click.option(
    "--math",
    type=click.Choice(["libm", "none"]),
    default="libm",
    show_default=True,
    help="Where square roots and exponentials come from: the C library's math.h, or the source.",
)
@json_option
def export_c(
    model: Path,
    output_dir: Path,
    name: str,
    arena: str,
    prototypes: Path | None,
    capacity: int,
    normal: Path | None,
    index: Path | None,
    layout: str,
    frame: str | None,
    math: str,
    as_json: bool,
) -> None:
    """Write MODEL.tflite, or starter, as C99 source without dependencies to OUTPUT_DIR.

    It runs wherever there is a C compiler: on microcontrollers, 32-bit boards, phones, and in
    browsers. Weights stay in flash; the arena is the only RAM besides the stack.

    \b
    Example:
      s2bnn export-c student.tflite firmware/student
      s2bnn export-c classifier.tflite firmware/digits --name digits
      s2bnn export-c student.tflite firmware/pets --prototypes pets.npz --capacity 4
      s2bnn export-c student.tflite firmware/parts --normal normal.npz
      s2bnn export-c student.tflite firmware/camera --input rgb565 --frame 320x240
    """
    from s2bnn_tf.export import export_c as write_source
    from s2bnn_tf.teachers import locate_model

    card = write_source(
        locate_model(model, must_exist=False),
        output_dir,
        name=name,
        external_arena=arena == "external",
        prototypes=prototypes,
        capacity=capacity,
        normal=normal,
        index=index,
        layout=layout,
        frame=frame,
        math=math == "libm",
    )
    print_result(card, as_json, lambda: _describe(output_dir, card))


def _describe(output: Path, card: dict[str, Any]) -> str:
    flash, ram = card["flash_bytes"] / 1024, card["arena_bytes"] / 1024
    heading = f"{'operation':<20}{'count':>6}{'flash':>11}{'RAM':>11}{'1-bit MACs':>15}"
    lines = [
        f"{output}: {flash:.1f} KiB of flash without code, {ram:.1f} KiB of RAM",
        f"{heading}{'float MACs':>13}",
    ]
    for row in card["operations"]:
        lines.append(
            f"{row['name']:<20}{row['count']:>6}{row['flash_bytes']:>11,}"
            f"{row['arena_bytes']:>11,}{row['binary_macs']:>15,}{row['float_macs']:>13,}"
        )
    if "classes" in card:
        found = card["classes"]
        lines.append(
            f"{len(found['names'])} classes: {found['flash_bytes']:,} bytes of flash; table for "
            f"{found['capacity']} more: {found['ram_bytes']:,} bytes of RAM"
        )
    if "normal" in card:
        lines.append(f"what is normal: {card['normal']['flash_bytes']:,} bytes of flash")
    if "index" in card:
        found = card["index"]
        lines.append(f"{found['pictures']} pictures: {found['flash_bytes']:,} bytes of flash")
    return "\n".join(lines)
