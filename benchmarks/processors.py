"""Processors that run the C source of an exported network: how to compile for them, and run.

Each of `PROCESSORS` compiles a folder of `s2bnn export-c` with the pictures in its `pictures.h`
into one program (`export_c/harness.c`). It needs `gcc-arm-none-eabi libnewlib-arm-none-eabi
qemu-system-arm` of Debian for boards, `gcc-aarch64-linux-gnu` for AArch64, and for the others the
package `ziglang` of PyPI; all need `qemu-user`, and WebAssembly `nodejs`. The first time that Zig
compiles for a processor, it builds its C library as well, which takes a minute.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FILES = Path(__file__).with_name("export_c")
PLUGIN = Path(__file__).parents[1] / "runtime/benchmarks/qemu_count.c"
ZIG = f"{shlex.quote(sys.executable)} -m ziglang"
COUNTED = 4  # pictures
WASM_STACK = 16384


@dataclass(frozen=True)
class Board:
    """A board of QEMU: its processor, where flash and RAM begin, and its timer's tick."""

    machine: str
    cpu: str
    flash: int
    ram: int
    tick: int  # nanoseconds

    def build(self, folder: Path, program: Path) -> None:
        run(
            "arm-none-eabi-gcc -O3 -std=gnu99 -mthumb -ffunction-sections -fdata-sections",
            f"-mcpu={self.cpu} {'' if self.cpu == 'cortex-m3' else '-mfloat-abi=hard'}",
            f"-DBOARD -DNANOSECONDS_A_TICK={self.tick}U -nostartfiles --specs=nosys.specs",
            f"-Wl,--gc-sections,--defsym=FLASH_ORIGIN={self.flash},--defsym=RAM_ORIGIN={self.ram}",
            f"-T {FILES / 'board.ld'} -I {folder} -o {program} {sources(folder)} -lm",
        )

    def look(self, program: Path) -> tuple[np.ndarray, dict[str, int]]:
        printed = run(
            f"qemu-system-arm -machine {self.machine} -nographic -icount shift=0",
            "-semihosting-config enable=on,target=native -monitor none -serial none",
            f"-kernel {program}",
        )
        classes, instructions = read(printed)
        return classes, {**sections(program), "instructions": int(np.median(instructions))}


@dataclass(frozen=True)
class System:
    """Linux of some architecture: the compiler with its flags, and QEMU's program."""

    compiler: str
    emulator: str

    def build(self, folder: Path, program: Path) -> None:
        run(
            f"{self.compiler} -O3 -std=c99 -static -s",
            "-ffunction-sections -fdata-sections -Wl,--gc-sections",
            f"-I {folder} -o {program} {sources(folder)} -lm",
        )

    def look(self, program: Path) -> tuple[np.ndarray, dict[str, int]]:
        classes, _ = read(run(f"{self.emulator} {program}"))
        return classes, {**sections(program), "instructions": self._count(program)}

    def _count(self, program: Path) -> int:
        """The instructions of a run, by QEMU's plug-in: what is more than without any run."""
        plugin = compile_plugin(program.parent)
        emulator, *flags = self.emulator.split()
        command = [emulator, "-plugin", str(plugin), *flags, str(program), str(COUNTED)]
        none, once = (count_instructions([*command, runs]) for runs in ("0", "1"))
        return (once - none) // COUNTED


@dataclass(frozen=True)
class WebAssembly:
    """Node.js, with or without vector instructions. It counts no instructions."""

    flags: str

    def build(self, folder: Path, program: Path) -> None:
        run(
            f"{ZIG} cc -target wasm32-wasi {self.flags} -O3 -std=c99 -s",
            f"-Wl,--gc-sections -Wl,-z,stack-size={WASM_STACK}",
            f"-I {folder} -o {program} {sources(folder)} -lm",
        )

    def look(self, program: Path) -> tuple[np.ndarray, dict[str, int]]:
        printed = run(f"node --no-warnings {FILES / 'run_wasi.js'} {program}").splitlines()
        classes, _ = read("\n".join(printed[:-1]))
        # the memory holds the constants too
        return classes, {"flash_bytes": program.stat().st_size, "memory_bytes": int(printed[-1])}


PROCESSORS: dict[str, Board | System | WebAssembly] = {
    "Cortex-M3": Board("mps2-an385", "cortex-m3", 0x0, 0x20000000, 40),
    "Cortex-M4F": Board("mps2-an386", "cortex-m4", 0x0, 0x20000000, 40),
    "Cortex-M7": Board("mps2-an500", "cortex-m7", 0x0, 0x20000000, 40),
    "Cortex-M33": Board("mps2-an505", "cortex-m33", 0x10000000, 0x38000000, 50),
    "Cortex-M55": Board("mps3-an547", "cortex-m55", 0x0, 0x20000000, 31),
    "x86-64": System(f"{ZIG} cc -target x86_64-linux-musl", "qemu-x86_64"),
    "x86-64 AVX2": System("gcc -mavx2 -mfma", "qemu-x86_64 -cpu max"),
    "i386": System(
        f"{ZIG} cc -target x86-linux-musl -mcpu=pentium4 -msse2 -mfpmath=sse", "qemu-i386"
    ),
    "ARMv6": System(
        f"{ZIG} cc -target arm-linux-musleabihf -mcpu=arm1176jzf_s", "qemu-arm -cpu arm1176"
    ),
    "ARMv7": System(
        f"{ZIG} cc -target arm-linux-musleabihf -mcpu=cortex_a7", "qemu-arm -cpu cortex-a7"
    ),
    "AArch64": System("aarch64-linux-gnu-gcc", "qemu-aarch64 -cpu cortex-a72"),
    "riscv32": System(f"{ZIG} cc -target riscv32-linux-musl", "qemu-riscv32"),
    "riscv64": System(f"{ZIG} cc -target riscv64-linux-musl", "qemu-riscv64"),
    "riscv64 Zbb": System(
        f"{ZIG} cc -target riscv64-linux-musl -mcpu=baseline_rv64+zbb",
        "qemu-riscv64 -cpu rv64,zbb=true",
    ),
    "WebAssembly": WebAssembly(""),
    "WebAssembly SIMD": WebAssembly("-msimd128"),
}


def run_on(name: str, folder: Path) -> dict[str, Any]:
    """Compile and run: the classes `(N,)`, the bytes of flash and RAM, and the instructions.

    Flash and RAM are those of the whole program without the pictures.

    Raises:
        RuntimeError: If a command fails.
        OSError: If a program is missing.
    """
    processor, program = PROCESSORS[name], folder / f"{name.replace(' ', '-')}.elf"
    processor.build(folder, program)
    classes, found = processor.look(program)
    numbers = re.findall(r"^#define \w+ (\d+)$", (folder / "pictures.h").read_text(), re.MULTILINE)
    pictures = int(numbers[0]) * int(numbers[1])
    for key in ("flash_bytes", "memory_bytes"):
        if key in found:
            found[key] -= pictures
    return {"classes": classes, **found}


def sources(folder: Path) -> str:
    return f"{FILES / 'harness.c'} {folder / 'model.c'} {folder / 's2bnn_kernels.c'}"


def read(printed: str) -> tuple[np.ndarray, np.ndarray]:
    """Classes and instructions, from a line for each picture."""
    numbers = np.array([line.split() for line in printed.splitlines()], np.int64)
    return numbers[:, 0], numbers[:, 1]


def sections(program: Path) -> dict[str, int]:
    """What lies in flash and in RAM; `size` of any GNU binutils reads every ELF file."""
    text, data, bss = map(int, run(f"size {program}").splitlines()[1].split()[:3])
    return {"flash_bytes": text + data, "ram_bytes": data + bss}


def compile_plugin(folder: Path) -> Path:
    plugin = folder / "qemu_count.so"
    if not plugin.exists():
        run(f"gcc -shared -fPIC -O2 {PLUGIN} -o {plugin}")
    return plugin


def count_instructions(command: list[str]) -> int:
    """All instructions of a program that runs in QEMU with the plug-in."""
    with tempfile.NamedTemporaryFile() as counts:
        run(shlex.join(command), variables={"COUNT_OUTPUT": counts.name})
        return int(counts.read().split()[0])


def run(*parts: str, variables: dict[str, str] | None = None) -> str:
    command = shlex.split(" ".join(parts))
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=1800, env=os.environ | (variables or {})
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout + done.stderr  # semihosting prints to standard error
