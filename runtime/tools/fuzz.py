"""Run the fuzzers on mutated files, and keep count of what came of them.

    python tools/fuzz.py STATE [--only NAME ...] [--seconds S] [--findings FOLDER]

STATE is a JSON file with the counts of each fuzzer. If it exists, the fuzzers continue where they
ended, each up to the number of inputs in `FUZZERS`. A fuzzer is a process that a fork server starts
again after a crash; the file that ended it is kept in FOLDER, and the exit status is 1. The address
sanitizer tells crashes of the host itself, which are only counted. The same seed gives the same
files: `tools/mutate.py`.

`make fuzz-all` builds the fuzzers in C++, under the address and undefined-behavior sanitizers, and
calls this. The others need TensorFlow. S2BNN_LIBRARY names the delegate
under test, and S2BNN_FUZZERS the folder of fuzzers in C++.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import select
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mutate import Mutator

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "cpp" / "corpus"
CPP = Path(os.environ.get("S2BNN_FUZZERS", ROOT / "build" / "sanitize-gcc" / "tests" / "cpp"))
BATCH = 200  # files that are sent before the answers are read
SAVE_EVERY = 10  # seconds
PATIENCE = 200  # seconds without an answer; a fuzzer itself ends what is slow
NAMES = {
    "+": "ran",
    "-": "refused",
    ".": "left_out",
    "c": "crashed",
    "s": "slow",
    "!": "wrong",
    "h": "crashed_in_host",
}
OURS = "s2bnn_delegate"
FAULTS = ("crashed", "slow", "wrong")


@dataclass(frozen=True)
class Fuzzer:
    """A process that runs files.

    Attributes:
        command: Its command.
        corpus: The folder of good files.
        structure: Whether to change graphs, or bytes.
        target: How many files to run.
    """

    command: tuple[str, ...]
    corpus: str
    structure: bool
    target: int


OPTIONS, FILE, MODEL = ((str(CPP / f"replay_{name}"),) for name in ("options", "file", "model"))
GRAPH = (sys.executable, str(ROOT.parent / "tests" / "tflite" / "fuzz_graph.py"))
LCE = (*GRAPH, "lce")
CHILD = ROOT / "tools" / "fuzz_child.py"
HOST = (sys.executable, str(CHILD), str(CORPUS / "model" / "bconv"))
FUZZERS = {
    "host, structure": Fuzzer(HOST, "model", True, 100_000),
    "host, bytes": Fuzzer(HOST, "model", False, 100_000),
    "file check, structure": Fuzzer(FILE, "model", True, 1_000_000),
    "file check, bytes": Fuzzer(FILE, "model", False, 4_900_000),
    "TFLiteGraph, structure": Fuzzer(GRAPH, "model", True, 100_000),
    "TFLiteGraph, bytes": Fuzzer(GRAPH, "model", False, 100_000),
    "Larq Compute Engine, structure": Fuzzer(LCE, "model", True, 50_000),
    "Larq Compute Engine, bytes": Fuzzer(LCE, "model", False, 50_000),
    "options, bytes": Fuzzer(OPTIONS, "options", False, 4_600_000),
    "delegate, structure": Fuzzer(MODEL, "model", True, 1_000_000),
    "delegate, bytes": Fuzzer(MODEL, "model", False, 300_000),
}


def limited(name: str, target: int) -> Fuzzer:
    """A fuzzer with another number of files."""
    return dataclasses.replace(FUZZERS[name], target=target)


class Child:
    """A running fuzzer."""

    def __init__(self, fuzzer: Fuzzer) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 lives as long as the process
        self.process = subprocess.Popen(
            fuzzer.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log
        )

    def run(self, files: list[bytes]) -> str:
        """The answers to files, one letter each."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(b"".join(struct.pack("<I", len(f)) + f for f in files))
        self.process.stdin.flush()
        answers = b""
        while len(answers) < len(files):
            if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
                raise SystemExit("the fuzzer does not answer")
            piece = os.read(self.process.stdout.fileno(), len(files) - len(answers))
            if not piece:
                raise SystemExit(f"the fuzzer ended:\n{self.last_words()}")
            answers += piece
        return answers.decode()

    def last_words(self) -> str:
        """The end of what it printed. The address sanitizer prints stacks."""
        size = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(size - 20000, 0))
        return self.log.read().decode(errors="replace")

    def forget_words(self) -> None:
        self.log.seek(0)
        self.log.truncate()

    def close(self) -> None:
        self.process.communicate()


def run_fuzzer(name: str, state: dict, options: argparse.Namespace) -> None:
    """Run a fuzzer until it has reached its target or its time is over."""
    fuzzer = FUZZERS[name]
    counts = state["fuzzers"].setdefault(name, {"inputs": 0, "seconds": 0.0})
    if counts["inputs"] >= fuzzer.target:
        return
    seeds = [path.read_bytes() for path in sorted((CORPUS / fuzzer.corpus).iterdir())]
    mutant, child = Mutator(seeds, fuzzer.structure, options.seed), Child(fuzzer)
    begin = saved = time.monotonic()
    while counts["inputs"] < fuzzer.target and time.monotonic() - begin < options.seconds:
        first, before = counts["inputs"], time.monotonic()
        files = [mutant(first + i) for i in range(min(BATCH, fuzzer.target - first))]
        for i, letter in enumerate(child.run(files)):
            if NAMES[letter] in FAULTS:
                path = options.findings / f"{name.replace(', ', '-')}-{options.seed}-{first + i}"
                letter = examine(files[i], letter, child, path)
            counts[NAMES[letter]] = counts.get(NAMES[letter], 0) + 1
        counts["inputs"] += len(files)
        counts["seconds"] = round(counts["seconds"] + time.monotonic() - before, 3)
        if time.monotonic() - saved > SAVE_EVERY:
            saved = time.monotonic()
            save(options.state, state)
    child.close()
    save(options.state, state)
    print(f"{name}: {json.dumps(counts)}", flush=True)


def examine(data: bytes, letter: str, child: Child, path: Path) -> str:
    """Run a file that failed alone, and keep it if the fault is ours.

    A crash whose stack shows only the host, which the address sanitizer finds out, is its own.
    """
    child.forget_words()
    child.run([data])
    words = child.last_words()
    if "hard rss limit" in words:  # which the host and the delegate share
        return "h"
    frames = [line for line in words.splitlines() if line.lstrip().startswith("#")]
    if letter == "c" and frames and not any(OURS in frame for frame in frames):
        return "h"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.with_name(path.name + ".txt").write_text(words)
    return letter


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def load(path: Path, seed: int) -> dict:
    if path.exists():
        state: dict = json.loads(path.read_text())
        if state["seed"] != seed:
            raise SystemExit(f"{path} counts files of seed {state['seed']}; name another file")
        return state
    return {
        "command": "make -C runtime fuzz-all FUZZ_SECONDS=1000000",
        "processor": processor(),
        "seed": seed,
        "fuzzers": {},
    }


def save(path: Path, state: dict) -> None:
    """Replace the file at once: the fuzzers may be ended at any time."""
    state["date"] = time.strftime("%Y-%m-%d")
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(state, indent=2) + "\n")
    os.replace(new, path)


def run(arguments: list[str]) -> int:
    """What the command does; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path, help="the JSON file with the counts")
    parser.add_argument("--only", nargs="+", choices=FUZZERS, default=list(FUZZERS))
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="how long each may run (default: ever)"
    )
    parser.add_argument("--findings", type=Path, default=ROOT / "build" / "findings")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    state = load(options.state, options.seed)
    for name in options.only:
        run_fuzzer(name, state, options)
    return int(any(counts.get(fault) for counts in state["fuzzers"].values() for fault in FAULTS))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
