"""Which kernels run here: all that the processor has, so that no test leaves one out silently."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from conftest import KERNELS

import s2bnn_runtime

# The flags of /proc/cpuinfo that kernels need, and what a processor without them has not.
NEEDS = {
    "x86_64": {
        "avx2": ("AVX2", {"avx2"}),
        "avx512": ("AVX-512", {"avx512f", "avx512bw", "avx512dq", "avx512vl"}),
        "avx512_vpopcntdq": ("AVX-512 VPOPCNTDQ", {"avx512f", "avx512_vpopcntdq"}),
    },
    "aarch64": {"neon": ("NEON", {"asimd"})},
}[platform.machine()]


def flags() -> set[str]:
    return set(Path("/proc/cpuinfo").read_text().split())


@pytest.mark.parametrize("kernels", NEEDS)
def test_the_kernels_of_this_processor_run(kernels):
    name, needed = NEEDS[kernels]
    if not needed <= flags():
        assert kernels not in KERNELS
        pytest.skip(f"this processor has no {name}")
    assert kernels in KERNELS


def test_plain_kernels_run_everywhere():
    assert {"reference", "portable"} <= set(KERNELS)


def test_the_best_kernels_are_the_default():
    best = {kernels for kernels, (_, needed) in NEEDS.items() if needed <= flags()}
    assert s2bnn_runtime.kernels() == ([*NEEDS][len(best) - 1] if best else "portable")
