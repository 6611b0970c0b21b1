"""Signals are answered within a second, also while TensorFlow computes one long step.

Python runs a signal's handler between two instructions of the main thread, and a step of a large
network is a single call that can take minutes. So a thread of its own reads the numbers of the
signals from a pipe, into which the interpreter writes them as they arrive.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from s2bnn_tf.progress import in_notebook

EXIT_CODE = 130  # as shells report a program that Ctrl-C has ended
PATIENCE = 1.0  # seconds in which the main thread may react by itself


class SignalWatch:
    """A context that passes the number of every signal to a function, in a thread of its own.

    Only signals with a handler in Python are seen. Outside of the main thread, where Python
    handles no signals, nothing is watched.

    Args:
        answer: The function.
    """

    def __init__(self, answer: Callable[[int], None]):
        self.answer = answer
        self._thread: threading.Thread | None = None

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            self._read_end, self._write_end = os.pipe()
            os.set_blocking(self._write_end, False)
            self._before = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        signal.set_wakeup_fd(self._before)
        os.write(self._write_end, b"\0")
        self._thread.join()
        os.close(self._read_end)
        os.close(self._write_end)

    def _watch(self) -> None:
        while (number := os.read(self._read_end, 1)) != b"\0":
            self.answer(number[0])


@contextlib.contextmanager
def answered_interrupts() -> Iterator[None]:
    """Answer Ctrl-C within a second; a second one ends the process, whatever it computes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reached = threading.Event()
    interrupts: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        reached.set()
        raise KeyboardInterrupt

    def answer(number: int) -> None:
        if number != signal.SIGINT:
            return
        interrupts.append(number)
        if len(interrupts) > 1:
            end("Ended.")
        if not reached.wait(PATIENCE):
            say("Stopping when this computation is done; once more ends at once.")

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with SignalWatch(answer):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


def say(message: str) -> None:
    """Print a line on standard error, below a line of progress if there is one."""
    print(f"\n{message}" if sys.stderr.isatty() else message, file=sys.stderr, flush=True)


def end(message: str) -> None:
    """End the process at once, from any thread. What is on disk is whole at every moment.

    The kernel of a notebook is kept alive, since it holds more than this computation.
    """
    if in_notebook():
        say("This ends when the computation is done; restarting the kernel ends it at once.")
        return
    say(message)
    os._exit(EXIT_CODE)
