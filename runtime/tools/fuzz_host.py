"""Run mutated .tflite files through a real TFLite interpreter with the delegate.

    python tools/fuzz_host.py SEEDS FINDINGS [--host NAME] [--seconds 60] [--seed 0]

SEEDS is a directory of good files. The files made from them run in a child process, one after the
other. A child that dies, hangs or computes something else afterwards is replaced. If the delegate's
library is on the stack that the child left, or if there is no stack, the file is kept in FINDINGS
together with the child's last output, and the exit status is 1. Other crashes are the host's own,
and only counted.

`make fuzz-host` builds the library with the address sanitizer and loads that first. This gives
stacks, and finds accesses out of bounds that do not crash. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import collections
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

OURS = "s2bnn_delegate"
MAX_SECONDS = 60  # per file
MAX_BYTES = 6 << 30  # per child
MAX_ELEMENTS = 1 << 20  # per input
CHECK_EVERY = 50  # files
# fmt: off
NUMBERS = (
    0, 1, -1, 2, 3, 4, 7, 8, 9, 32, 33, 64, 127, 128, 255, 256, 1 << 15, 1 << 16, 1 << 24,
    (1 << 31) - 1, -(1 << 31),
)
# fmt: on
ANSWERS = {b"+": "ran", b"-": "refused", b"!": "wrong afterwards", b"": "crash"}


def mutants(seeds: list[bytes], seed: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    while True:
        data = bytearray(seeds[rng.integers(len(seeds))])
        for _ in range(rng.geometric(0.4)):
            mutate(data, rng)
        yield bytes(data)


def mutate(data: bytearray, rng: np.random.Generator) -> None:
    kind, at = rng.random(), int(rng.integers(len(data)))
    if kind < 0.4:  # a number; flatbuffers align them
        size = int(rng.choice([1, 2, 4, 4, 4]))
        at -= at % size
        number = int(rng.choice(NUMBERS)) % (1 << 8 * size)
        data[at : at + size] = number.to_bytes(size, "little")[: len(data) - at]
    elif kind < 0.65:
        data[at] = (data[at] + int(rng.integers(-3, 4))) % 256
    elif kind < 0.85:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind < 0.99:  # a piece copied from elsewhere
        source = int(rng.integers(len(data)))
        piece = data[source : source + int(rng.integers(1, 17))]
        data[at : at + len(piece)] = piece[: len(data) - at]
    elif len(data) > 64:
        del data[max(at, 32) :]


class Child:
    """A process that runs files."""

    def __init__(self, good: Path, host: str | None) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 lives as long as the process
        command = [sys.executable, __file__, "--child", str(good), *([host] if host else [])]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log
        )

    def run(self, data: bytes) -> str:
        """The outcome of a file: one of ANSWERS, or "slow"."""
        try:
            self.process.stdin.write(struct.pack("<I", len(data)) + data)
            self.process.stdin.flush()
        except BrokenPipeError:
            return "crash"
        if not select.select([self.process.stdout], [], [], MAX_SECONDS)[0]:
            return "slow"
        return ANSWERS[self.process.stdout.read(1)]

    def last_words(self) -> str:
        """End the process, and return what it printed. The address sanitizer prints the stack."""
        self.process.send_signal(signal.SIGABRT)
        self.process.communicate()
        self.log.seek(0)
        return (
            f"exit code {self.process.returncode}\n"
            + self.log.read().decode(errors="replace")[-20000:]
        )


def is_ours(words: str) -> bool:
    if "hard rss limit" in words:
        return False  # which the host and the delegate share
    frames = [line for line in words.splitlines() if line.lstrip().startswith("#")]
    return not frames or any(OURS in frame for frame in frames) or "runtime error:" in words


def run_child(good: Path, host_name: str | None) -> None:
    import s2bnn_runtime

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # for anything that a host prints
    host = s2bnn_runtime.find_host(host_name)

    def run(model: bytes) -> bytes:
        interpreter = s2bnn_runtime.Interpreter(model, 2, host=host)
        results = b""
        for batch in (1, 2):
            shapes = [(batch, *d["shape"][1:]) for d in interpreter.input_details]
            if sum(float(np.prod(shape, dtype=float)) for shape in shapes) > MAX_ELEMENTS:
                raise ValueError("it would take too long")
            inputs = [
                np.ones(shape, d["dtype"]) for shape, d in zip(shapes, interpreter.input_details)
            ]
            outputs = interpreter.predict(*inputs)
            results += b"".join(
                np.asarray(y).tobytes()
                for y in (outputs if isinstance(outputs, list) else [outputs])
            )
        return results

    wanted = run(good.read_bytes())
    count = 0
    while header := sys.stdin.buffer.read(4):
        data = sys.stdin.buffer.read(struct.unpack("<I", header)[0])
        try:
            run(data)
            answer = b"+"
        except Exception:  # noqa: BLE001 (each host has its own)
            answer = b"-"
        count += 1
        if count % CHECK_EVERY == 0 and run(good.read_bytes()) != wanted:
            answer = b"!"
        answers.write(answer)


def fuzz(options: argparse.Namespace) -> collections.Counter[str]:
    paths = sorted(options.seeds.iterdir())
    options.findings.mkdir(parents=True, exist_ok=True)
    counts: collections.Counter[str] = collections.Counter()
    end, child = time.monotonic() + options.seconds, None
    for i, data in enumerate(mutants([path.read_bytes() for path in paths], options.seed)):
        if time.monotonic() > end:
            break
        child = child or Child(paths[0], options.host)
        result = child.run(data)
        if result not in ("ran", "refused"):
            words, child = child.last_words(), None
            result = f"{result}, {'the delegate' if is_ours(words) else 'the host'}"
            if is_ours(words):
                name = options.findings / f"{options.seed}-{i}"
                name.with_suffix(".tflite").write_bytes(data)
                name.with_suffix(".txt").write_text(f"{result}\n{words}")
        counts[result] += 1
    if child:
        child.process.communicate()
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=Path, help="the directory of good files")
    parser.add_argument("findings", type=Path, help="the directory for findings")
    parser.add_argument(
        "--host", help="the TFLite interpreter to use (default: the first installed)"
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long to run (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts = fuzz(options)
    print(
        f"{counts.total()} files:",
        ", ".join(f"{count} {what}" for what, count in counts.most_common()),
    )
    return int(any("the delegate" in what for what in counts))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        if (
            "LD_PRELOAD" not in os.environ
        ):  # the address sanitizer reserves more, and has a limit of its own
            resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
        run_child(Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
    else:
        sys.exit(main())
