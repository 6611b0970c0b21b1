"""What scripts that compare several sides share: to take turns, and to write down the results."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path


def take_turns(sides: dict[str, subprocess.Popen], rounds: int) -> dict[str, list[dict]]:
    """Ask each process in turn, by an empty line, for a line of JSON, and then end them all."""
    told: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            side.stdin.write("\n")
            side.stdin.flush()
            told[name].append(json.loads(side.stdout.readline()))
    for side in sides.values():
        side.communicate()
    return told


def write_results(output: Path, results: list[dict]) -> None:
    """Write results as JSON, with this command, the date and the machine."""
    report = {
        "command": f"python benchmarks/{Path(sys.argv[0]).name} " + " ".join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "results": results,
    }
    output.write_text(json.dumps(report, indent=2) + "\n")
