"""Which machine this is, for those who compare measurements."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

ROOT = Path("/")
# Processors of ARM boards have numbers in /proc/cpuinfo instead of names.
ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd49": "Neoverse-N2",
}
_LONGEST = 200


def describe_machine(root: Path = ROOT) -> dict[str, str | int | float | None]:
    """The board, the processor, the number of its cores, its highest clock in MHz, and the system.

    Args:
        root: the directory with `proc` and `sys`.

    Returns:
        What Linux says, None where it says nothing.
    """
    cpuinfo = _read(root / "proc/cpuinfo", 1 << 16)
    clock = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    return {
        "board": _read(root / "proc/device-tree/model").strip("\0\n ") or None,
        "processor": _processor(cpuinfo),
        "cpus": os.cpu_count(),
        "max_mhz": int(clock) / 1000 if clock.strip().isdigit() else None,
        "system": platform.platform(),
    }


def _processor(cpuinfo: str) -> str | None:
    if found := re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE):
        return found[1][:_LONGEST]
    parts = sorted(set(re.findall(r"^CPU part\s*:\s*(\w+)$", cpuinfo, re.MULTILINE)))
    return " and ".join(ARM_PARTS.get(part, part) for part in parts) or None


def _read(path: Path, size: int = _LONGEST) -> str:
    try:
        with path.open("rb") as file:
            return file.read(size).decode("utf-8", "replace")
    except OSError:
        return ""
