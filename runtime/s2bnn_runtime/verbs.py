"""All verbs of `s2bnn-run`: your own classes, what is unusual, and finding, without training."""

from __future__ import annotations

import argparse

from s2bnn_runtime import few_shot, finding, grouping, inspection
from s2bnn_runtime.mqtt import publish
from s2bnn_runtime.rows import Rows

VERBS = (
    *("enroll", "classify", "confirm", "forget"),
    *("normal", "inspect"),
    *("index", "search", "duplicates", "cluster"),
)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of `s2bnn-run VERB`."""
    parser = argparse.ArgumentParser(
        prog="s2bnn-run", description="Recognize, inspect and find pictures, without training."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for module in (few_shot, inspection, finding, grouping):
        module.add_verbs(verbs)
    for verb in verbs.choices.values():
        verb.add_argument(
            "--json", action="store_true", help="print one JSON object a picture and line, not text"
        )
    return parser


def run_verb(options: argparse.Namespace) -> Rows:
    """Run a verb, and yield its rows as they are ready.

    Raises:
        S2bnnError: If the user made a mistake.
    """
    rows: Rows = options.run(options)
    address = getattr(options, "mqtt", None)
    return rows if address is None else publish(rows, address)
