"""A `.tflite` as C source without dependencies, for anything that has a C compiler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.export.c_source.camera import read_camera
from s2bnn_tf.export.c_source.classes import read_classes
from s2bnn_tf.export.c_source.code import write_code
from s2bnn_tf.export.c_source.header import write_header
from s2bnn_tf.export.c_source.index import read_index
from s2bnn_tf.export.c_source.memory import plan_memory
from s2bnn_tf.export.c_source.names import check_name
from s2bnn_tf.export.c_source.network import Value, read_network
from s2bnn_tf.export.c_source.normal import NormalPart, read_normal
from s2bnn_tf.export.c_source.operations import make_steps
from s2bnn_tf.export.c_source.parts import Part, part_files
from s2bnn_tf.export.c_source.source import Source
from s2bnn_tf.export.c_source.steps import group_steps
from s2bnn_tf.export.c_source.templates import filled_in
from s2bnn_tf.files import write_folder

_FILES = Path(__file__).with_name("files")
_AS_THEY_ARE = ("s2bnn_kernels.c", "s2bnn_kernels.h")
_MATH = {True: "s2bnn_math.h", False: "s2bnn_math_none.h"}
_OF_FRAMES = ("s2bnn_frame.c", "s2bnn_frame.h")
_FILLED_IN = ("CMakeLists.txt", "Makefile", "README.md", "main.c")


def export_c(
    model: str | Path,
    output: str | Path,
    *,
    name: str = "model",
    external_arena: bool = False,
    prototypes: str | Path | None = None,
    capacity: int = 0,
    normal: str | Path | None = None,
    index: str | Path | None = None,
    layout: str = "float",
    frame: str | None = None,
    math: bool = True,
) -> dict[str, Any]:
    """Write a network as C99 source: the same file and options give the same bytes.

    Args:
        model: A `.tflite` from one float32 map to float32, such as those of `s2bnn convert`.
        output: The directory to write, which must not exist.
        name: The beginning of the names of functions, macros and files.
        external_arena: Whether the caller of the functions gives the memory to work in.
        prototypes: Classes that `s2bnn-run enroll` made with this network.
        capacity: How many further classes can be enrolled on the device, 0 to 1000.
        normal: What `s2bnn-run normal` learned with this network.
        index: An index that `s2bnn-run index` made with this network.
        layout: What the source takes: `"float"` for a picture of the network's size, or frames of
            a camera in `"rgb888"`, `"rgb565"` or `"gray8"`.
        frame: `"WIDTHxHEIGHT"` of the frames.
        math: Whether the source may use the C library's math.h.

    Returns:
        `name`, `sha256` (of the `.tflite`), `input` and `outputs` (shapes), `flash_bytes`
        (weights and tables, without code), `arena_bytes`, and `operations`, one row for each
        name: `count`, `flash_bytes`, `arena_bytes` (the most that holds something while one of
        them runs), `binary_macs` and `float_macs`. With prototypes also `classes`: their `names`
        and `thresholds`, and `capacity`; with what is normal `normal`: its `method`, `threshold`,
        `roi` and `tiles`; with an index `index`: its `pictures`. Each of them has `flash_bytes`
        and `ram_bytes`.

    Raises:
        ConfigError: If the output exists, the name is no identifier of C and C++, or the frames
            have no size.
        ModelError: If the file is damaged, or has an operation that C source cannot be made of,
            or if the classes, what is normal, or the index are of another network.
        DeviceError: If one of them cannot be read.
        OSError: If the output cannot be written.
    """
    output = Path(output)
    check_name(name)
    if capacity and prototypes is None:
        raise ConfigError("--capacity is for classes: give those to begin with by --prototypes.")
    if output.exists() or output.is_symlink():
        raise ConfigError(f"{output} exists already; remove it, or choose another output.")
    network = read_network(model)
    parts = _read_parts(model, prototypes, capacity, normal, index)
    learned = next((part for part in parts if isinstance(part, NormalPart)), None)
    camera = read_camera(layout, frame, model=model, normal=learned)
    steps, builder = make_steps(network, camera)
    groups = group_steps(steps)
    memory = plan_memory(network, groups)
    source = Source(name, network, builder, groups, memory, external_arena, camera, math)
    card = _describe(source) | {part.key: part.describe() for part in parts}
    texts = {f"{name}.c": write_code(source), f"{name}.h": write_header(source)}
    files = _AS_THEY_ARE + (_OF_FRAMES if camera else ())
    texts |= {file: (_FILES / file).read_text("utf-8") for file in files}
    texts["s2bnn_math.h"] = (_FILES / _MATH[math]).read_text("utf-8")
    texts |= {file: filled_in(file, source, card, parts) for file in _FILLED_IN}
    for part in parts:
        texts |= part_files(name, part)
    write_folder(output, texts)
    return card


def _read_parts(
    model: str | Path,
    prototypes: str | Path | None,
    capacity: int,
    normal: str | Path | None,
    index: str | Path | None,
) -> list[Part]:
    parts: list[Part] = []
    if prototypes is not None:
        parts.append(read_classes(prototypes, model=model, capacity=capacity))
    if normal is not None:
        parts.append(read_normal(normal, model=model))
    if index is not None:
        parts.append(read_index(index, model=model))
    return parts


def _describe(source: Source) -> dict[str, Any]:
    network = source.network
    table: dict[str, dict[str, Any]] = {}
    for number, group in enumerate(source.groups):
        for step in group:
            row = table.setdefault(step.name, dict.fromkeys(_COLUMNS, 0))
            row["count"] += 1
            row["flash_bytes"] += step.flash
            row["arena_bytes"] = max(row["arena_bytes"], source.memory.used(number))
            row["binary_macs"] += step.binary_macs
            row["float_macs"] += step.float_macs
    rows = [{"name": name, **row} for name, row in table.items()]
    return {
        "name": source.name,
        "sha256": network.sha256,
        "input": _shape(network.values[network.input]),
        "outputs": [_shape(network.values[index]) for index in network.outputs],
        "flash_bytes": source.builder.constants.size,
        "arena_bytes": source.memory.size,
        "operations": sorted(rows, key=lambda row: -int(row["flash_bytes"])),
    }


_COLUMNS = ("count", "flash_bytes", "arena_bytes", "binary_macs", "float_macs")


def _shape(value: Value) -> list[int]:
    return [value.rows, value.columns, value.depth]
