"""What the verbs that look at one picture after the other have in common."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from s2bnn_runtime.errors import S2bnnError
from s2bnn_runtime.images import picture_files
from s2bnn_runtime.mqtt import read_address
from s2bnn_runtime.rows import read_share
from s2bnn_runtime.verdicts import Verdicts, read_agreement
from s2bnn_runtime.watching import Watch


def add_stream_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the pictures, a folder to watch, and what a verdict over time needs."""
    verb.add_argument("images", type=Path, nargs="*", help="pictures, or folders of them")
    verb.add_argument(
        "--watch",
        type=Path,
        metavar="DIR",
        help="then wait for pictures that arrive in this folder or below it, until Ctrl-C",
    )
    verb.add_argument(
        "--agree",
        type=read_agreement,
        metavar="K/N",
        help="also give the verdict on which K of the last N pictures agree, such as 3/5",
    )
    verb.add_argument(
        "--recover",
        type=read_share,
        metavar="RATE",
        help="once a picture was unusual or of no class, ask more of the next ones: the threshold "
        "of this rate of false alarms, which is above the other rate",
    )
    verb.add_argument(
        "--mqtt",
        type=read_address,
        metavar="HOST/TOPIC",
        help="also publish what --json prints on an MQTT broker (HOST:PORT/TOPIC for another port "
        "than 1883); needs paho-mqtt",
    )


def arriving(options: argparse.Namespace) -> Iterable[Path]:
    """The named pictures, and those that arrive in the watched folder from now on.

    Raises:
        S2bnnError: If there are none, or the folder cannot be read.
    """
    if options.watch is None and not options.images:
        raise S2bnnError("nothing to do: name pictures, or a folder to --watch")
    named = picture_files(options.images) if options.images else []
    if options.watch is None:
        return named
    watch = Watch(options.watch)
    print("Waiting for new pictures. Ctrl-C ends.", file=sys.stderr, flush=True)
    return itertools.chain(named, watch)


def check_recovery(recover: float | None, rate: float) -> None:
    """Check the rate of the second threshold.

    Raises:
        S2bnnError: If it is not above that of the first.
    """
    if recover is not None and recover <= rate:
        raise S2bnnError(
            f"--recover is a rate of false alarms above the first one, {rate:g}, not {recover:g}"
        )


def add_verdict(record: dict[str, Any], verdicts: Verdicts | None, result: object) -> bool:
    """Add the verdict after one more result to a record, if there are any; say whether."""
    if verdicts is None:
        return False
    verdict = verdicts.add(result)
    record.update(verdict=verdict.result, settled=verdict.settled)
    return verdict.settled
