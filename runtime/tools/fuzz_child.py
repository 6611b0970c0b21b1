"""A TFLite interpreter with the delegate, as a process that tools/fuzz.py feeds with files.

    python tools/fuzz_child.py GOOD [HOST]

Each file on the standard input is a length of 4 bytes and as many bytes. The answer to each, on the
standard output, is "+" if it ran, "-" if it was refused, "." if it was left out since it would take
long, "c" for a crash, "s" if it was too slow, or "!" if the good model GOOD gave other results
afterwards.
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

MAX_SECONDS = 60  # per file
MAX_BYTES = 6 << 30  # per process
MAX_ELEMENTS = 1 << 20  # per input
CHECK_EVERY = 50  # files

Fuzzer = Callable[[bytes], bytes]


def host_fuzzer(good: Path, name: str | None) -> Fuzzer:
    """Opens and runs a file in a host, with two batch sizes, and some of them with two threads."""
    import s2bnn_runtime

    host = s2bnn_runtime.find_host(name)

    def run(model: bytes, threads: int) -> bytes | None:
        interpreter = s2bnn_runtime.Interpreter(model, threads, host=host)
        results = b""
        for batch in (1, 2):
            details = interpreter.input_details
            shapes = [(batch, *detail["shape"][1:]) for detail in details]
            if sum(float(np.prod(shape, dtype=float)) for shape in shapes) > MAX_ELEMENTS:
                return None
            inputs = [np.ones(shape, d["dtype"]) for shape, d in zip(shapes, details)]
            outputs = interpreter.predict(*inputs)
            for output in outputs if isinstance(outputs, list) else [outputs]:
                results += np.asarray(output).tobytes()
        return results

    content = good.read_bytes()
    wanted = None
    count = 0

    def fuzz(model: bytes) -> bytes:
        nonlocal count, wanted
        if wanted is None:
            wanted = run(content, 1)
        count += 1
        try:
            answer = b"." if run(model, 2 if count % 8 == 0 else 1) is None else b"+"
        except Exception:  # noqa: BLE001 (each host has its own)
            answer = b"-"
        if count % CHECK_EVERY == 0 and run(content, 2) != wanted:
            answer = b"!"
        return answer

    return fuzz


def read_exactly(size: int) -> bytes:
    """Read without a buffer: what a crash leaves is for the next process."""
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def run_inputs(fuzz: Fuzzer, answers: int) -> None:
    while True:
        try:
            data = read_exactly(struct.unpack("<I", read_exactly(4))[0])
        except EOFError:
            return
        signal.alarm(MAX_SECONDS)
        answer = fuzz(data)
        signal.alarm(0)
        os.write(answers, answer)


def serve(fuzz: Fuzzer) -> None:
    """Let a child process run the files. If one ends it, the next child takes those left."""
    answers = os.dup(1)
    os.dup2(2, 1)  # for anything that a host prints
    while True:
        child = os.fork()
        if child == 0:
            run_inputs(fuzz, answers)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status == 0:
            return
        is_slow = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
        os.write(answers, b"s" if is_slow else b"c")


def main() -> None:
    if "LD_PRELOAD" not in os.environ:
        # The address sanitizer reserves more, and has a limit of its own.
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    serve(host_fuzzer(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))


if __name__ == "__main__":
    main()
