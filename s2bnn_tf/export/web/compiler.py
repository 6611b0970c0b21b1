"""The compiler Zig, which makes WebAssembly of C without any other tool."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from s2bnn_tf.errors import ConfigError

_FLAGS = ("-target", "wasm32-wasi", "-mexec-model=reactor", "-O3", "-std=c99", "-s")


def find_compiler() -> list[str]:
    """The command of Zig: that of the package `ziglang`, or the one on the path.

    Raises:
        ConfigError: If there is none.
    """
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang"]
    found = shutil.which("zig")
    if found is None:
        raise ConfigError(
            "WebAssembly needs the compiler Zig: install it with `pip install 's2bnn_tf[web]'`."
        )
    return [found]


def compile_module(
    compiler: list[str], sources: list[Path], exports: list[str], *, simd: bool
) -> bytes:
    """Compile C into a WebAssembly module that imports nothing.

    Args:
        compiler: What `find_compiler` found.
        sources: The C files.
        exports: The functions that JavaScript calls, besides `_initialize`.
        simd: Whether it uses vector instructions, which not every browser has.

    Raises:
        ConfigError: If the compiler fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "module.wasm"
        command = [*compiler, "cc", *_FLAGS, *(["-msimd128"] if simd else [])]
        command += [f"-Wl,--export={name}" for name in exports]
        command += ["-o", str(output), *map(str, sources)]
        environment = {**os.environ, "ZIG_LOCAL_CACHE_DIR": temporary}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode or not output.exists():
            said = (done.stderr.strip() or "it gave no reason").splitlines()[-1]
            raise ConfigError(
                f"Zig could not compile the network ({said}); install the version of "
                "`pip install 's2bnn_tf[web]'`."
            )
        return output.read_bytes()
