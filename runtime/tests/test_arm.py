"""What benchmarks/arm.py reads and adds up. Counting itself needs qemu and an ARM compiler."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).resolve().parents[1] / "benchmarks")


@pytest.fixture(autouse=True)
def _import_benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield
    for name in ("arm", "executed", "machine_code", "count_instructions", "networks"):
        sys.modules.pop(name, None)


LISTING = """
libx.so:	file format elf64-littleaarch64

Disassembly of section .text:

0000000000001000 <f>:
    1000:      	mov	x2, #0x0
    1004:      	ldp	q0, q1, [x0], #32
    1008:      	cbz	x3, 0x1018 <f+0x18>
    100c:      	add	v2.16b, v2.16b, v0.16b
    1010:      	subs	x1, x1, #0x1
    1014:      	b.ne	0x1004 <f+0x4>
    1018:      	bl	0x2000 <memcpy@plt>
    101c:      	b	0x1000 <f>
"""


def test_reads_a_listing():
    from machine_code import parse

    code = parse(LISTING)
    assert [i.address for i in code] == list(range(0x1000, 0x1020, 4))
    assert code[1].text == "ldp q0, q1, [x0], #32"
    assert [i.target for i in code] == [None, None, 0x1018, None, None, 0x1004, None, 0x1000]


def test_finds_the_shortest_loop_that_runs_half_of_the_time():
    from machine_code import assembly, hottest_loop, parse

    code = parse(LISTING)
    # Both jumps back close a loop. The inner one runs ten times as often, its forward jump rarely.
    runs = dict.fromkeys(range(0x1004, 0x1018, 4), 10) | {0x1000: 1, 0x1018: 1, 0x101C: 1}
    loop = hottest_loop(code, runs | {0x1008: 1})
    assert [i.address for i in loop] == [0x1004, 0x100C, 0x1010, 0x1014]
    assert assembly(loop).splitlines() == [
        "loop:",
        "  ldp q0, q1, [x0], #32",
        "  add v2.16b, v2.16b, v0.16b",
        "  subs x1, x1, #0x1",
        "  b.ne loop",
    ]
    # If the outer one takes more, it is the function's loop.
    outer = hottest_loop(code, runs | {0x1018: 60, 0x101C: 60})
    assert outer[-1].address == 0x101C
    # Without a jump back that ran there is none.
    assert hottest_loop(code, {0x1000: 1, 0x1018: 1}) == []


def test_cycles_per_instruction_come_from_the_summary():
    from machine_code import parse_report

    report = "Iterations:        50\nInstructions:      200\nTotal Cycles:      150\n"
    assert parse_report(report) == 0.75


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("ldr q0, [x1]", 16),
        ("ldp q0, q1, [x1], #32", 32),
        ("stp x29, x30, [sp, #-16]!", 16),
        ("ldrb w0, [x1]", 1),
        ("ldurh w0, [x1]", 2),
        ("ldrsw x0, [x1]", 4),
        ("ld2r { v0.16b, v1.16b }, [x1], #2", 2),
        ("ld1 { v0.4s, v1.4s }, [x1]", 32),
        ("st1 { v0.s }[2], [x1]", 4),
        ("add x0, x1, x2", 0),
    ],
)
def test_counts_the_bytes_that_an_instruction_moves(text, count):
    from machine_code import bytes_moved

    assert bytes_moved(text) == count


def test_reads_the_counts_of_the_plug_in(tmp_path):
    from executed import parse_counts, subtract

    library = tmp_path / "lib.so"
    library.write_bytes(b"\x7fELF" + bytes(12) + b"\x03\0")  # a shared library
    text = f"block {0x7000100} 2 5\nblock {0x7000104} 1 3\nblock {0x9000000} 1 1\n"
    text += f"07000000-07001000 r-xp 00000000 fe:00 1    {library}\n"
    text += f"07002000-07003000 rw-p 00002000 fe:00 1    {library}\n"
    runs = parse_counts(text)
    assert runs == {str(library): Counter({0x100: 5, 0x104: 8}), "": Counter({0x9000000: 1})}
    assert subtract(runs, {str(library): Counter({0x100: 5, 0x104: 2})}) == {
        str(library): Counter({0x104: 6}),
        "": Counter({0x9000000: 1}),
    }


def test_assigns_instructions_to_functions():
    from executed import group, parse_symbols

    listing = "0000000000000200 0000000000000008 t s2bnn::pool(int, int)\n"
    listing += "0000000000000100 0000000000000010 T first\n0000000000000300 D data\n"
    symbols = parse_symbols(listing)
    assert symbols == [(0x100, 16, "first"), (0x200, 8, "s2bnn::pool(int, int)")]
    found = group("/lib/x.so", Counter({0x100: 2, 0x10C: 2, 0x110: 7, 0x204: 1, 0x50: 4}), symbols)
    assert {f.name: f.instructions for f in found} == {
        "first": 4,
        "x.so": 11,
        "s2bnn::pool(int, int)": 1,
    }


def test_names_operations_by_their_functions():
    from arm import HOST, operation_of

    kernel = "s2bnn::(anonymous namespace)::accumulate_pixels(s2bnn::ConvTile const&, int, int)"
    assert operation_of(kernel) == "binary convolutions: counting"
    pool = "s2bnn::TileSources<s2bnn::Isa>::pool(s2bnn::PoolInput const&)"
    assert operation_of(pool) == "pooling"
    assert operation_of("xnn_f32_gemm_ukernel") == "the host: XNNPACK and its threads"
    assert operation_of("_PyEval_EvalFrameDefault") == HOST


def _result(a53: int, a72: int, a76: int, n1: int) -> dict:
    cycles = {"cortex-a53": a53, "cortex-a72": a72, "cortex-a76": a76, "neoverse-n1": n1}
    numbers = {"instructions": 3_000_000, "cycles": cycles}
    return {**numbers, "bytes_moved": 5_000_000, "operations": {"pooling": numbers}}


def test_cores_of_one_model_share_a_column_but_not_a_key():
    from arm import summary, table

    results = {"quicknet": _result(9_000_000, 4_000_000, 4_000_000, 2_500_000)}
    lines = table(results)
    assert lines[0].split(" | ")[2:] == [
        "cycles, cortex-a53",
        "cycles, cortex-a72 and cortex-a76",
        "cycles, neoverse-n1 |",
    ]
    assert lines[2] == "| **QuickNet** | 3.0 | 9.0 | 4.0 | 2.5 |"
    assert lines[3] == "| pooling | 3.0 | 9.0 | 4.0 | 2.5 |"
    assert summary(results) == {
        "networks": {
            "quicknet": {
                "instructions": 3_000_000,
                "cycles": {
                    "cortex-a53": 9_000_000,
                    "cortex-a72": 4_000_000,
                    "cortex-a76": 4_000_000,
                    "neoverse-n1": 2_500_000,
                },
            }
        }
    }
    # A number that differs separates them.
    results["reactnet_a"] = _result(9_000_000, 4_000_000, 4_100_000, 2_500_000)
    assert "cortex-a72 and" not in table(results)[0]
