"""List the tests that pytest skipped, with their reasons, and fail if CI should have run one.

Usage: skips.py LOG...    (logs of `pytest -rs --no-fold-skipped`)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# CI installs everything that the tests need, so only what a machine cannot do may be skipped.
EXPECTED = (r"this processor has no AVX-512",)


def find_skips(log: str) -> list[tuple[str, str]]:
    """Return (test, reason) for every line that reports a skipped test."""
    return re.findall(r"^SKIPPED (.+?)(?: - (?:Skipped: )?(.*))?$", log, re.MULTILINE)


def main(paths: list[str]) -> int:
    """Print the skipped tests of all logs; return 1 if one of them was not expected."""
    skips = [skip for path in paths for skip in find_skips(Path(path).read_text())]
    unexpected = 0
    for test, reason in skips:
        expected = any(re.search(pattern, reason) for pattern in EXPECTED)
        unexpected += not expected
        print(f"{'skipped' if expected else 'SKIPPED, BUT CI SHOULD RUN IT'}: {test}: {reason}")
    print(f"{len(skips)} tests were skipped, {unexpected} of them unexpectedly.")
    return int(unexpected > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
