"""Print the results of run.py as Markdown tables.

python runtime/benchmarks/table.py runtime/benchmarks/results.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    results = json.loads(Path(sys.argv[1]).read_text())
    for network, by_threads in results["networks"].items():
        print(f"### {network}\n")
        print(_network_table(by_threads))
    if "convolutions" in results:
        print("### Binary convolutions of ReActNet-A alone, one thread\n")
        print(_convolution_table(results["convolutions"]))


def _network_table(by_threads: dict[str, dict[str, Any]]) -> str:
    sides = list(dict.fromkeys(side for measured in by_threads.values() for side in measured))
    best = next(side for side in sides if side.startswith("s2bnn_runtime"))
    lines = [f"| median ms | {' | '.join(f'{t} | ours is faster by' for t in by_threads)} |"]
    lines.append("|---|" + "--:|" * 2 * len(by_threads))
    for side in sides:
        cells = []
        for measured in by_threads.values():
            numbers = measured.get(side, {})
            if "median_ms" not in numbers:
                cells += [f"not measured: {numbers.get('missing', 'left out')}", ""]
                continue
            ratio = numbers["median_ms"] / measured[best]["median_ms"]
            cells += [
                f"{numbers['median_ms']:.2f}",
                "" if side.startswith("s2bnn_runtime") else f"{ratio:.1f}x",
            ]
        lines.append(f"| {side} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _convolution_table(convolutions: dict[str, dict[str, Any]]) -> str:
    names = list(convolutions)
    limit = max(c["port_limit_gmacs"] for c in convolutions.values())
    lines = [f"| GMAC/s | {' | '.join(names)} |", "|---|" + "--:|" * len(names)]
    for row in zip(*(c["layers"] for c in convolutions.values())):
        layer = row[0]
        height, width, channels = layer["input"]
        size = layer["filter"]
        name = f"{size}x{size}, {height}x{width}x{channels} to {layer['channels_out']}"
        name += f", stride {layer['stride']}" if layer["stride"] > 1 else ""
        name += f" ({layer['count']} times)" if layer["count"] > 1 else ""
        lines.append(f"| {name} | {' | '.join(format(r['gmacs'], '.0f') for r in row)} |")
    totals = " | ".join(f"{c['gmacs']:.0f}" for c in convolutions.values())
    lines.append(f"| **all, weighted by work** | {totals} |")
    if limit:
        shares = (f"{100 * c['gmacs'] / limit:.0f} %" for c in convolutions.values())
        lines.append(f"| share of the port limit, {limit:.0f} | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
