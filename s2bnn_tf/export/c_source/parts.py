"""What an export may hold besides the network: its C files, and how they are read and opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from s2bnn_tf import __version__
from s2bnn_tf.errors import DeviceError, ModelError
from s2bnn_tf.export.c_source.guards import guarded
from s2bnn_tf.tflite import TFLiteEncoder

_FILES = Path(__file__).with_name("files")
Function = tuple[str, str]  # what it is declared as, and its body


class Part(Protocol):
    """A part of the application, in the files `NAME_KEY.c|h` above `s2bnn_KEY.c|h`.

    Attributes:
        key: The end of the files' names, and the key in the export's card.
        usage: A paragraph of the README; `@VECTOR@` and `@MAP@` are the network's outputs.
    """

    @property
    def key(self) -> str: ...

    @property
    def usage(self) -> str: ...

    def describe(self) -> dict[str, Any]:
        """The part of an export's card: `flash_bytes`, `ram_bytes`, and what else is of use."""

    def macros(self, macro: str) -> list[str]:
        """The lines of the header before its functions; `macro` begins their names."""

    def functions(self, name: str) -> list[Function]:
        """The functions; `name` begins their names."""

    def code(self) -> list[str]:
        """The lines of the source before its functions: what these work on."""


def part_files(name: str, part: Part) -> dict[str, str]:
    """The files of a part, by their names."""
    above, below = f"{name}_{part.key}", f"s2bnn_{part.key}"
    functions = part.functions(name)
    header = guarded(
        f"{above.upper()}_H",
        [
            f"/* The {part.key} of {name}, made by s2bnn_tf {__version__}.",
            f" * {below}.h says what each function returns. */",
        ],
        [f'#include "{below}.h"', "", *part.macros(name.upper())],
        [f"{declaration};" for declaration, _ in functions],
    )
    code = [f'#include "{above}.h"', "", '#include "s2bnn_kernels.h"', "", *part.code()]
    for declaration, body in functions:
        code += ["", f"{declaration} {{ {body} }}"]
    texts = {f"{above}.h": header, f"{above}.c": "\n".join(code) + "\n"}
    return texts | {
        file: (_FILES / file).read_text("utf-8") for file in (f"{below}.h", f"{below}.c")
    }


def open_encoder(model: str | Path, why: str) -> TFLiteEncoder:
    """Open a network that gives a vector.

    Raises:
        ModelError: If it gives a map alone; the sentence says why a vector is needed.
    """
    encoder = TFLiteEncoder(model)
    if encoder.head == "map":
        raise ModelError(f"{model} gives a map alone, and {why}: convert it with --head none.")
    return encoder


def space_of(encoder: TFLiteEncoder) -> str:
    """The name of the space of a network's vectors, as the runtime has it."""
    from s2bnn_runtime.metadata import space_in

    return encoder.card.get("space") or space_in(encoder.path.read_bytes()) or encoder.space


@contextlib.contextmanager
def device_errors(option: str, path: str | Path) -> Iterator[None]:
    """What reads a file of `s2bnn-run` by the runtime's own code.

    Raises:
        DeviceError: If the runtime is not installed, or refuses the file.
    """
    try:
        from s2bnn_runtime import S2bnnError
    except ImportError as error:
        raise DeviceError(
            f"{option} needs s2bnn_runtime ({error}): run `make runtime`, and the same command "
            "again."
        ) from error
    try:
        yield
    except S2bnnError as error:
        where = "" if str(error).startswith(str(path)) else f"{path}: "
        raise DeviceError(f"{where}{error}.") from error
