"""Loops in machine code of aarch64, and how many cycles a model of a processor takes for them.

The tools are Debian's llvm-19: llvm-objdump disassembles, and llvm-mca models a processor. The
model knows latencies, ports and how many instructions start in a cycle. It knows nothing of caches
and assumes that every branch is predicted.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ITERATIONS = 50
# Instructions of a loop that run less often than this share of its most frequent one are left out:
# they belong to rare branches.
RARE = 1 / 8

_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*)$")
_TARGET = re.compile(r"(0x[0-9a-f]+)\s+<[^>]*>")
_REGISTER_BYTES = {"q": 16, "d": 8, "s": 4, "h": 2, "b": 1, "x": 8, "w": 4}
_LANE_BYTES = {"b": 1, "h": 2, "s": 4, "d": 8}


@dataclass(frozen=True)
class Instruction:
    """One instruction: its address, its text, and where it jumps to, or None."""

    address: int
    text: str
    target: int | None = None


def disassemble(file: Path, start: int, stop: int) -> list[Instruction]:
    """Return the instructions of a file at the addresses [start, stop)."""
    command = ["llvm-objdump-19", "-d", "--no-show-raw-insn"]
    command += [f"--start-address={start}", f"--stop-address={stop}", str(file)]
    return parse(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def parse(listing: str) -> list[Instruction]:
    """Read what llvm-objdump prints."""
    instructions = []
    for line in listing.splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        text = found[2].replace("\t", " ").strip()
        jump = _TARGET.search(text)
        is_branch = re.match(r"(b|b\.\w+|cbn?z|tbn?z) ", text)
        target = int(jump[1], 16) if jump and is_branch else None
        instructions.append(Instruction(int(found[1], 16), text, target))
    return instructions


def hottest_loop(code: Sequence[Instruction], runs: Mapping[int, int]) -> list[Instruction]:
    """Find the loop in which a function spends its time.

    Args:
        code: the function's instructions, in the order of their addresses.
        runs: how often the instruction at an address ran.

    Returns:
        The shortest range that a jump back closes and in which at least half of all instructions
        ran, without those that run rarely; an empty list if there is no such loop.
    """
    index = {instruction.address: i for i, instruction in enumerate(code)}
    executed = [runs.get(instruction.address, 0) for instruction in code]
    best: list[int] = []
    for last, instruction in enumerate(code):
        first = index.get(instruction.target) if instruction.target is not None else None
        if first is None or first > last or executed[last] == 0:
            continue
        if 2 * sum(executed[first : last + 1]) < sum(executed):
            continue
        if not best or last - first < best[1] - best[0]:
            best = [first, last]
    if not best:
        return []
    inside = range(best[0], best[1] + 1)
    most = max(executed[i] for i in inside)
    return [code[i] for i in inside if executed[i] >= RARE * most]


def assembly(loop: Sequence[Instruction]) -> str:
    """The loop as text for an assembler: all jumps lead to its beginning."""
    lines = []
    for instruction in loop:
        text = instruction.text
        if instruction.target is not None:
            text = _TARGET.sub("loop", text)
        lines.append("  " + re.sub(r"\s*(//|<).*$", "", text))
    return "\n".join(["loop:", *lines, ""])


def cycles_per_instruction(loop: Sequence[Instruction], core: str) -> float:
    """Cycles per instruction of a loop on a core, "cortex-a72", by llvm-mca."""
    command = ["llvm-mca-19", "-mtriple=aarch64", f"-mcpu={core}", "-instruction-info=false"]
    command += ["-resource-pressure=false", "-skip-unsupported-instructions=any"]
    command += [f"-iterations={ITERATIONS}"]
    done = subprocess.run(command, input=assembly(loop), check=True, capture_output=True, text=True)
    return parse_report(done.stdout)


def parse_report(report: str) -> float:
    """Cycles over instructions, from the summary that llvm-mca prints."""
    numbers = dict(re.findall(r"^(Instructions|Total Cycles):\s+(\d+)$", report, re.MULTILINE))
    return int(numbers["Total Cycles"]) / int(numbers["Instructions"])


def bytes_moved(text: str) -> int:
    """How many bytes an instruction loads from or stores to memory."""
    mnemonic, _, operands = text.partition(" ")
    if not re.match(r"(ld|st)", mnemonic):
        return 0
    vectors = re.match(r"\{(.*?)\}(\[\d+\])?", operands.strip())
    if vectors:
        registers = [r.strip() for r in vectors[1].split(",")]
        shape = registers[0].split(".")[1]
        lane = _LANE_BYTES[shape[-1]]
        if vectors[2] or mnemonic.endswith("r"):
            return lane * len(registers)
        return lane * int(shape[:-1]) * len(registers)
    size = _REGISTER_BYTES.get(operands.strip()[:1], 0)
    if mnemonic.endswith("b"):
        size = 1
    elif mnemonic.endswith("h"):
        size = 2
    elif mnemonic.endswith("sw"):
        size = 4
    return 2 * size if mnemonic[2:].startswith(("p", "np", "xp")) else size
