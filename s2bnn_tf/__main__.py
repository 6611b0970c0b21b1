"""The program `s2bnn`, which is `python -m s2bnn_tf` and `python cli.py` as well."""

from __future__ import annotations

import os
import signal

_INTERRUPTED = 130  # as shells report a program that Ctrl-C has ended


def main() -> None:
    """Load the command line and run it; Ctrl-C ends both, and what comes after them, quietly.

    While a verb runs, `answered_interrupts` decides what Ctrl-C does.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    from s2bnn_tf.cli import main as run

    run()


def _stop(*_: object) -> None:
    """End at once. An exception would pass through whatever is being imported."""
    os.write(2, b"Stopped.\n")
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
