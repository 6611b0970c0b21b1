"""Memory that is left: the machine's, or the container's where that is smaller."""

from __future__ import annotations

import pytest

from s2bnn_tf.training.available_memory import (
    available_memory,
    resident_memory,
    return_memory,
)

MACHINE = "MemTotal:       24731708 kB\nMemAvailable:       8192 kB\n"  # 8 MiB
MIB = 2**20


@pytest.fixture
def system(tmp_path):
    """Write the kernel's files below a folder: `system(cgroup, {file: text})`."""

    def write(cgroup: str, files: dict[str, str]):
        for name, text in {
            "proc/meminfo": MACHINE,
            "proc/self/cgroup": cgroup,
            **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
        }.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def group(at: str, limit: object, usage: int, inactive: int = 0) -> dict[str, str]:
    return {
        f"{at}memory.max": f"{limit}\n",
        f"{at}memory.current": f"{usage}\n",
        f"{at}memory.stat": f"anon 5\ninactive_file {inactive}\n",
    }


def test_a_machine_without_limits(system):
    assert available_memory(system("0::/\n", {})) == 8 * MIB
    assert available_memory(system("0::/user\n", group("user/", "max", MIB))) == 8 * MIB


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (group("a/b/", 3 * MIB, MIB), 2 * MIB),
        (group("a/b/", 3 * MIB, 2 * MIB, MIB), 2 * MIB),  # files in memory can be dropped
        (group("a/", 3 * MIB, MIB), 2 * MIB),  # a group above
        ({**group("a/", 3 * MIB, MIB), **group("a/b/", "max", MIB)}, 2 * MIB),
        (group("", 3 * MIB, MIB), 2 * MIB),  # a container that sees only its own group
        (group("a/b/", 30 * MIB, MIB), 8 * MIB),  # the machine has less than that
        (group("a/b/", MIB, 2 * MIB), 0),  # the limit was lowered
    ],
)
def test_a_container_has_less_than_the_machine(system, files, expected):
    assert available_memory(system("0::/a/b\n", files)) == expected


def test_control_groups_of_version_1(system):
    files = {
        "memory/docker/memory.limit_in_bytes": f"{4 * MIB}\n",
        "memory/docker/memory.usage_in_bytes": f"{3 * MIB}\n",
        "memory/docker/memory.stat": f"inactive_file 1\ntotal_inactive_file {MIB}\n",
    }
    root = system("9:name=systemd:/\n4:memory,hugetlb:/docker\n0::/\n", files)
    assert available_memory(root) == 2 * MIB


def test_a_system_that_does_not_say(tmp_path, system):
    assert available_memory(tmp_path) is None
    damaged = group("", 3 * MIB, MIB) | {"memory.current": "much"}
    assert available_memory(system("0::/\n", damaged)) == 8 * MIB


def test_this_process_has_some():
    assert 10 * MIB < resident_memory() < 2**40


def test_what_only_refers_to_itself_is_given_back():
    before = resident_memory()
    kept = [bytearray(1000) for _ in range(100_000)]
    kept.append(kept)  # a cycle, as a network and its graphs are
    full = resident_memory()
    last = kept[-2]  # at the top of the heap, so that freeing the others shrinks nothing
    del kept
    return_memory()
    assert len(last) == 1000
    assert resident_memory() - before < 0.2 * (full - before)
