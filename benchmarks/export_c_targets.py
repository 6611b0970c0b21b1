"""Run an exported network on other processors in QEMU, and count memory and instructions.

    python benchmarks/export_c_targets.py MODEL.tflite [--targets NAME...] [--pictures 50]
        [--output benchmarks/results/export_c_targets.json]

Without MODEL it converts a network of the shape of the digits' student with random weights and a
random classifier. It exports the model, compiles it for every target, and runs it on the digits'
test pictures, in gray and bytes. Every class is compared with that of the `.tflite` in Larq Compute
Engine's interpreter.

Boards need `gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm` of Debian, and the other
targets `qemu-user-static` or, for WebAssembly, `nodejs`, and the package `ziglang` of PyPI (`--zig
"python -m ziglang"`). Flash and RAM are those of the whole program without the pictures, with a
stack of 4 KiB. QEMU counts instructions, not cycles.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.files import write_json

FILES = Path(__file__).with_name("export_c")


@dataclass(frozen=True)
class Board:
    """A board of QEMU: its processor, where flash and RAM begin, and its timer's tick."""

    machine: str
    cpu: str
    flash: int
    ram: int
    tick: int  # nanoseconds

    def build(self, folder: Path, program: Path, zig: list[str]) -> None:
        run(
            "arm-none-eabi-gcc -O3 -std=gnu99 -mthumb -ffunction-sections -fdata-sections",
            f"-mcpu={self.cpu} {'' if self.cpu == 'cortex-m3' else '-mfloat-abi=hard'}",
            f"-DBOARD -DNANOSECONDS_A_TICK={self.tick}U -nostartfiles --specs=nosys.specs",
            f"-Wl,--gc-sections,--defsym=FLASH_ORIGIN={self.flash},--defsym=RAM_ORIGIN={self.ram}",
            f"-T {FILES / 'board.ld'} -I {folder} -o {program}",
            f"{FILES / 'harness.c'} {folder / 'model.c'} {folder / 's2bnn_kernels.c'} -lm",
        )

    def command(self, program: Path) -> list[str]:
        return [
            *("qemu-system-arm", "-machine", self.machine, "-nographic", "-icount", "shift=0"),
            *("-semihosting-config", "enable=on,target=native", "-monitor", "none"),
            *("-serial", "none", "-kernel", str(program)),
        ]


@dataclass(frozen=True)
class System:
    """A Linux of another architecture: zig's target, its processor, and QEMU's program."""

    target: str
    cpu: str
    emulator: str

    def build(self, folder: Path, program: Path, zig: list[str]) -> None:
        cpu = f"-mcpu={self.cpu}" if self.cpu else ""
        run(
            f"{shlex.join(zig)} cc -target {self.target} {cpu} -O3 -std=c99 -static -s",
            f"-I {folder} -o {program} {FILES / 'harness.c'} {folder / 'model.c'}",
            f"{folder / 's2bnn_kernels.c'} -lm",
        )

    def command(self, program: Path) -> list[str]:
        return [*self.emulator.split(), str(program)]


@dataclass(frozen=True)
class WebAssembly:
    """Node.js, with or without vector instructions."""

    flags: str

    def build(self, folder: Path, program: Path, zig: list[str]) -> None:
        run(
            f"{shlex.join(zig)} cc -target wasm32-wasi {self.flags} -O3 -std=c99 -s",
            f"-I {folder} -o {program} {FILES / 'harness.c'} {folder / 'model.c'}",
            f"{folder / 's2bnn_kernels.c'} -lm",
        )

    def command(self, program: Path) -> list[str]:
        return ["node", "--no-warnings", str(FILES / "run_wasi.js"), str(program)]


TARGETS: dict[str, Board | System | WebAssembly] = {
    "Cortex-M3": Board("mps2-an385", "cortex-m3", 0x0, 0x20000000, 40),
    "Cortex-M4F": Board("mps2-an386", "cortex-m4", 0x0, 0x20000000, 40),
    "Cortex-M7": Board("mps2-an500", "cortex-m7", 0x0, 0x20000000, 40),
    "Cortex-M33": Board("mps2-an505", "cortex-m33", 0x10000000, 0x38000000, 50),
    "Cortex-M55": Board("mps3-an547", "cortex-m55", 0x0, 0x20000000, 31),
    "i386": System("x86-linux-musl", "pentium4", "qemu-i386-static"),
    "ARMv6": System("arm-linux-musleabihf", "arm1176jzf_s", "qemu-arm-static -cpu arm1176"),
    "ARMv7": System("arm-linux-musleabihf", "cortex_a7", "qemu-arm-static -cpu cortex-a7"),
    "AArch64": System("aarch64-linux-musl", "", "qemu-aarch64-static -cpu cortex-a72"),
    "riscv32": System("riscv32-linux-musl", "", "qemu-riscv32-static"),
    "riscv64": System("riscv64-linux-musl", "", "qemu-riscv64-static"),
    "riscv64 Zbb": System(
        "riscv64-linux-musl", "baseline_rv64+zbb", "qemu-riscv64-static -cpu rv64,zbb=true"
    ),
    "WebAssembly": WebAssembly(""),
    "WebAssembly SIMD": WebAssembly("-msimd128"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?", help="a .tflite; default: random weights")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--pictures", type=int, default=50, help="number (default 50)")
    parser.add_argument("--zig", default="python -m ziglang", help="the command of zig")
    parser.add_argument("--output", type=Path, help="write the results to this JSON file")
    options = parser.parse_args()
    quiet_tensorflow()

    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = options.model or random_student(folder / "student.tflite")
        card, classes = prepare(model, folder / "source", options.pictures)
        for name in options.targets:
            try:
                found = run_on(name, folder / "source", shlex.split(options.zig))
            except (OSError, RuntimeError) as error:
                rows[name] = {"error": str(error).splitlines()[-1]}
            else:
                rows[name] = {"same_classes": int(np.sum(found.pop("classes") == classes)), **found}
            print(f"{name:<17}", rows[name], flush=True)
    if options.output:
        host = {"machine": platform.processor() or platform.machine()}
        facts = {"flash_bytes": card["flash_bytes"], "arena_bytes": card["arena_bytes"]}
        write_json(options.output, {**facts, "pictures": options.pictures, **host, "targets": rows})


def prepare(model: Path, folder: Path, count: int) -> tuple[dict[str, Any], np.ndarray]:
    """Export a model, write pictures beside it, and return its card and the pictures' classes."""
    from s2bnn_tf.export import export_c
    from s2bnn_tf.tflite import TFLiteEncoder

    card = export_c(model, folder)
    encoder = TFLiteEncoder(model, "lce")
    pictures = digits(encoder.image_size, count)
    inputs = np.repeat(pictures[..., np.newaxis], encoder.channels, -1)
    write_pictures(folder / "pictures.h", pictures)
    return card, encoder.features(inputs).argmax(-1)


def digits(size: Any, count: int) -> np.ndarray:
    """Test pictures of the digits in gray, uint8 `(N, H, W)`."""
    from s2bnn_tf.export.convert import sample_images

    return sample_images("digits", size, 1.0, count)[..., 0].round().astype(np.uint8)


def write_pictures(path: Path, pictures: np.ndarray) -> None:
    rows = ",\n".join(f"{{{','.join(map(str, row.ravel()))}}}" for row in pictures)
    path.write_text(
        f"#define PICTURES {len(pictures)}\n#define PICTURE_SIZE {pictures[0].size}\n"
        f"static const unsigned char pictures[PICTURES][PICTURE_SIZE] = {{\n{rows}}};\n"
    )


def run_on(name: str, folder: Path, zig: list[str]) -> dict[str, Any]:
    """Compile and run; the classes, and on a board the sizes and the instructions of a run."""
    target, program = TARGETS[name], folder / f"{name.replace(' ', '-')}.elf"
    target.build(folder, program, zig)
    lines = run(shlex.join(target.command(program)), timeout=900).splitlines()
    numbers = np.array([line.split() for line in lines], np.int64)
    found: dict[str, Any] = {"classes": numbers[:, 0]}
    if isinstance(target, Board):
        sizes = run(f"arm-none-eabi-size {program}").splitlines()[1].split()
        text, data, bss = map(int, sizes[:3])
        pictures = (folder / "pictures.h").read_text().split()
        found["flash_bytes"] = text + data - int(pictures[2]) * int(pictures[5])
        found["ram_bytes"] = data + bss
        found["instructions"] = int(np.median(numbers[:, 1]))
    return found


def run(*parts: str, timeout: int = 900) -> str:
    command = shlex.split(" ".join(parts))
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout + done.stderr  # semihosting prints to standard error


def random_student(path: Path) -> Path:
    """A network of the shape of the digits' student, with a classifier, its weights random."""
    import tensorflow as tf

    from s2bnn_tf.backbones import Encoder, build_backbone
    from s2bnn_tf.export import convert_model, deployment_model
    from s2bnn_tf.export.quantize_head import round_to_8_bits, store_8_bit_weights

    tf.keras.utils.set_random_seed(0)
    backbone = build_backbone("reactnet", (32, 32, 3), stem="small", width=0.125)
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(backbone.output_shape[-1], 10)).astype(np.float32)
    probe = round_to_8_bits(kernel), np.zeros(10, np.float32)
    network = deployment_model(Encoder(backbone), 32, "linear", probe)
    path.write_bytes(store_8_bit_weights(convert_model(network, output_name=("logits",))))
    return path


if __name__ == "__main__":
    main()
