"""How much memory a process may still take: of the machine, and of the container it is in."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

_KIB = 1024


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may still take without another one losing its own.

    This is what the kernel says it can give (`MemAvailable`), or what the control groups of the
    process leave it, whichever is smaller: a container sees all of the machine's memory and is
    ended where its own limit is.

    Args:
        root: Where `/proc` and `/sys` are.

    Returns:
        Bytes; None on a system that does not say.

    References:
        https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max, memory.current).
    """
    try:
        machine = _field(root / "proc/meminfo", "MemAvailable:") * _KIB
    except (OSError, ValueError):
        return None
    return max(0, min([machine, *_left_by_groups(root)]))


def resident_memory() -> int:
    """Return the bytes of memory that this process has now; 0 on a system that does not say."""
    try:
        return _field(Path("/proc/self/status"), "VmRSS:") * _KIB
    except (OSError, ValueError):
        return 0


def return_memory() -> None:
    """Give back what earlier work in this process took and no longer needs.

    Networks and their graphs refer to themselves, so that they stay until Python collects cycles;
    and the C library keeps freed memory unless it is asked not to.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)


def _left_by_groups(root: Path) -> list[int]:
    """The bytes that each control group above the process leaves, where it has a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:  # version 2
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # Inside of a container, the path may be that outside of it; the top is its own then.
        path = top / group.lstrip("/")
        while path != top.parent:
            found = _left_by(path, *names)
            left += [found] if found is not None else []
            path = path.parent
    return left


def _left_by(group: Path, limit_name: str, usage_name: str, file_field: str) -> int | None:
    """The bytes that one group leaves: pages of files that it can drop are no part of its use."""
    try:
        limit = int((group / limit_name).read_text())  # "max" where there is none
        usage = int((group / usage_name).read_text())
        droppable = _field(group / "memory.stat", file_field)
    except (OSError, ValueError):
        return None
    return limit - (usage - droppable)


def _field(path: Path, name: str) -> int:
    """The number after a name in a file of the kernel.

    Raises:
        ValueError: If there is none.
    """
    for line in path.read_text().splitlines():
        words = line.split()
        if words and words[0] == name:
            return int(words[1])
    raise ValueError(f"{path} has no {name}")
