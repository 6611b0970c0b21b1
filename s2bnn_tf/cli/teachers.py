"""`s2bnn teachers`: the published networks that a teacher can be named by."""

from __future__ import annotations

from typing import Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import json_option
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.progress import show_progress


@main.group(invoke_without_command=True)
@json_option
@click.pass_context
def teachers(context: click.Context, as_json: bool) -> None:
    """List published teachers, for teacher.weights and fit --teacher.

    Everything in the table is what their publishers say; nothing was measured here. Linear is the
    ImageNet top-1 of a linear classifier in percent.

    \b
    Example:
      s2bnn teachers
      s2bnn teachers get dinov2_vits14
    """
    if context.invoked_subcommand is not None:
        return
    from s2bnn_tf.teachers import list_teachers

    rows = list_teachers()
    print_result({"teachers": rows}, as_json, lambda: _table(rows))


@teachers.command()
@click.argument("name")
@json_option
def get(name: str, as_json: bool) -> None:
    """Download the published teacher NAME, and keep it as a run directory.

    An interrupted download is continued. S2BNN_CACHE is the folder to keep it in, and
    S2BNN_MIRROR an address that has copies of the files.

    \b
    Example:
      s2bnn teachers get dinov2_vits14
    """
    from s2bnn_tf.runs import read_origin
    from s2bnn_tf.teachers import get_teacher

    run = get_teacher(name, show_progress)
    facts = read_origin(run.path) or {}
    result = {**facts, "run": str(run.path)}
    print_result(
        result,
        as_json,
        lambda: (
            f"{run.path} is {name}, {facts['training']}; its license is {facts['license']} "
            f"({facts['source']})."
        ),
    )


_COLUMNS = (
    ("name", "name"),
    ("architecture", "architecture"),
    ("parameters", "parameters"),
    ("image_size", "input"),
    ("linear_probe", "linear"),
    ("license", "license"),
    ("size_mib", "MiB"),
    ("here", "here"),
    ("training", "training"),
)


def _table(rows: list[dict[str, Any]]) -> str:
    shown = [
        {
            **row,
            "here": "yes" if row["cached"] else "",
            "parameters": f"{row['parameters']:g} M",
            "linear_probe": row["linear_probe"] or "",
        }
        for row in rows
    ]
    requested = ", ".join(row["name"] for row in rows if row["requested"])
    widths = [max(len(title), *(len(str(r[key])) for r in shown)) for key, title in _COLUMNS]
    lines = ["  ".join(title.ljust(width) for (_, title), width in zip(_COLUMNS, widths))]
    for row in shown:
        cells = (str(row[key]).ljust(width) for (key, _), width in zip(_COLUMNS, widths))
        lines.append("  ".join(cells))
    lines.append(
        "MiB are about those of the weights. Addresses, licenses and numbers are from the "
        f"publishers' pages (--json names them); the authors have requested {requested}."
    )
    return "\n".join(line.rstrip() for line in lines)
