"""Which instructions ran in a program, by qemu_blocks.c, and the functions that they are in."""

from __future__ import annotations

import bisect
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+\s*(.*)$")
_FIXED_ADDRESSES = 2  # ET_EXEC in the header of an ELF file: its addresses are those in memory

# How often the instruction at an address of a file ran: {file: {address: runs}}. The file is empty
# where no file is mapped.
Runs = dict[str, Counter[int]]


@dataclass
class Function:
    """A function, and how often each of its instructions ran."""

    name: str
    file: str
    start: int
    stop: int
    runs: dict[int, int] = field(default_factory=dict)

    @property
    def instructions(self) -> int:
        return sum(self.runs.values())


def parse_counts(text: str) -> Runs:
    """Read what the plug-in wrote."""
    blocks = []
    mappings: list[tuple[int, int, str]] = []
    for line in text.splitlines():
        if line.startswith("block "):
            blocks.append([int(number) for number in line.split()[1:]])
        elif found := _MAPPING.match(line):
            mappings.append((int(found[1], 16), int(found[2], 16), found[3]))
    mappings.sort()
    starts = [start for start, _, _ in mappings]
    bases = {path: 0 if _is_fixed(path) else start for start, _, path in reversed(mappings)}
    result: Runs = {}
    for address, instructions, runs in blocks:
        at = bisect.bisect_right(starts, address) - 1
        path = mappings[at][2] if at >= 0 and address < mappings[at][1] else ""
        counts = result.setdefault(path, Counter())
        for i in range(instructions):
            counts[address - bases.get(path, 0) + 4 * i] += runs
    return result


def _is_fixed(path: str) -> bool:
    if not path.startswith("/") or not Path(path).is_file():
        return False
    with open(path, "rb") as file:
        header = file.read(18)
    return header[:4] == b"\x7fELF" and header[16] == _FIXED_ADDRESSES


def subtract(more: Runs, less: Runs) -> Runs:
    """What ran more often in one program than in another one."""
    result: Runs = {}
    for path, counts in more.items():
        difference = Counter(counts)
        difference.subtract(less.get(path, Counter()))
        result[path] = Counter({address: n for address, n in difference.items() if n})
    return result


def parse_symbols(listing: str) -> list[tuple[int, int, str]]:
    """The functions that nm lists: first address, size and name, in the order of the addresses."""
    symbols = {}
    for line in listing.splitlines():
        parts = line.split(maxsplit=3)
        if len(parts) == 4 and parts[2] in "tTwW":
            symbols[int(parts[0], 16)] = (int(parts[1], 16), parts[3])
    return [(address, size, name) for address, (size, name) in sorted(symbols.items())]


def functions(runs: Runs) -> list[Function]:
    """The functions that ran, the one with the most instructions first.

    Code without a symbol is one function of the name of its file.
    """
    result = []
    for path, counts in runs.items():
        symbols = _symbols(path) if counts else []
        result += group(path, counts, symbols)
    return sorted(result, key=lambda f: f.instructions, reverse=True)


def group(path: str, counts: Counter[int], symbols: list[tuple[int, int, str]]) -> list[Function]:
    """Assign the instructions of one file to its functions."""
    starts = [symbol[0] for symbol in symbols]
    found: dict[int, Function] = {}
    for address, runs in counts.items():
        at = bisect.bisect_right(starts, address) - 1
        start, size, name = symbols[at] if at >= 0 else (0, 0, "")
        if address >= start + size:
            at, start, size, name = -1, 0, 0, Path(path).name
        function = found.setdefault(at, Function(name, path, start, start + size))
        function.runs[address] = runs
    return list(found.values())


def _symbols(path: str) -> list[tuple[int, int, str]]:
    if not path.startswith("/"):
        return []
    result = []
    for table in ([], ["-D"]):
        command = ["llvm-nm-19", "-C", "-S", "--defined-only", *table, path]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        result = parse_symbols(done.stdout)
        if result:
            break
    return result
