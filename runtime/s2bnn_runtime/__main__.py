"""The program `s2bnn-run`, which is `python -m s2bnn_runtime` as well."""

from __future__ import annotations

import os
import signal
import sys

_INTERRUPTED = 130  # the exit status after Ctrl-C, as of other programs


def main() -> int:
    """Load the command line and run it; Ctrl-C ends either quietly.

    Returns:
        The exit status.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # programs in the background may ignore Ctrl-C
        signal.signal(signal.SIGINT, _stop)
    from s2bnn_runtime.cli import main as run

    signal.signal(signal.SIGINT, before)
    return run()


def _stop(*_: object) -> None:
    """End at once. An exception would pass through whatever is being imported."""
    os.write(2, b"Stopped.\n")
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
