"""The text of `model.h`."""

from __future__ import annotations

from collections.abc import Iterator

from s2bnn_tf import __version__
from s2bnn_tf.export.c_source.camera import Camera
from s2bnn_tf.export.c_source.constants import float_literal
from s2bnn_tf.export.c_source.guards import guarded
from s2bnn_tf.export.c_source.memory import ALIGNMENT
from s2bnn_tf.export.c_source.network import Network, Value
from s2bnn_tf.export.c_source.source import Source, comment


def write_header(source: Source) -> str:
    """The text of `model.h`."""
    name, macro, network = source.name, source.macro, source.network
    parameter = "void *arena" if source.external else "void"
    comments = [
        f"/* {comment(network.file)} as C, made by s2bnn_tf {__version__}.",
        " *",
        f" * {_first_call(source)}, call {name}_run(),",
        f" * and read {describe(network.values[network.outputs[0]])} from {name}_output().",
        *_lifetimes(source),
        " */",
    ]
    above = [*(["#include <stdint.h>", ""] if source.camera else []), *_macros(source)]
    functions = [*_input(source), f"int {name}_run({parameter}); /* 0 when all is well */"]
    for number in range(len(network.outputs)):
        suffix = f"_{number}" if number else ""
        functions.append(f"const float *{name}_output{suffix}({parameter});")
    return guarded(f"{macro}_H", comments, above, functions)


def _macros(source: Source) -> Iterator[str]:
    macro, network = source.macro, source.network
    yield f'#define {macro}_SHA256 "{network.sha256}" /* of the .tflite */'
    named = {"INPUT": network.input}
    for number, index in enumerate(network.outputs):
        named[f"OUTPUT_{number}" if number else "OUTPUT"] = index
    for what, index in named.items():
        value = network.values[index]
        yield f"#define {macro}_{what}_HEIGHT {value.rows}"
        yield f"#define {macro}_{what}_WIDTH {value.columns}"
        yield f"#define {macro}_{what}_CHANNELS {value.depth}"
        if source.camera is None or index != network.input:
            yield f"#define {macro}_{what}_BYTES {4 * value.rows * value.columns * value.depth}"
    if source.camera is not None:
        yield f"#define {macro}_FRAME_HEIGHT {source.camera.height}"
        yield f"#define {macro}_FRAME_WIDTH {source.camera.width}"
        yield f"#define {macro}_FRAME_BYTES {source.camera.bytes}"
    yield f"#define {macro}_OUTPUTS {len(network.outputs)}"
    scale_shift = normalization(network)
    yield f"#define {macro}_NORMALIZES {int(scale_shift is not None)}"
    if scale_shift is not None:
        yield f"#define {macro}_SCALE {{{', '.join(map(float_literal, scale_shift[0]))}}}"
        yield f"#define {macro}_SHIFT {{{', '.join(map(float_literal, scale_shift[1]))}}}"
    yield f"#define {macro}_ARENA_BYTES {source.memory.size}"
    if source.external:
        yield f"#define {macro}_ARENA_ALIGNMENT {ALIGNMENT} /* another arena is refused */"
        yield "/* Does not compile for an array that is too small for the arena. */"
        yield f"#define {macro}_CHECK_ARENA(array) \\"
        check = f"sizeof(array) >= {macro}_ARENA_BYTES ? 1 : -1"
        yield f"  typedef char {source.name}_arena_is_too_small[{check}]"


def normalization(network: Network) -> tuple[list[float], list[float]] | None:
    """The scale and the shift of each channel with which the network begins, or None."""
    if len(network.nodes) < 2:
        return None
    first, second = network.nodes[:2]
    constants = [network.values.get(node.inputs[-1]) for node in (first, second)]
    depth = network.values[network.input].depth
    found: list[list[float]] = []
    for value in constants:
        if value is None or value.constant is None or value.constant.size not in (1, depth):
            return None
        found.append([float(number) for number in value.constant.reshape(-1)])
    if (first.name, second.name) != ("MUL", "ADD") or first.inputs[0] != network.input:
        return None
    scale, shift = (numbers * depth if len(numbers) == 1 else numbers for numbers in found)
    return scale, shift


def _input(source: Source) -> list[str]:
    arena = "void *arena" if source.external else "void"
    if source.camera is None:
        return [f"float *{source.name}_input({arena});"]
    arena = "void *arena, " if source.external else ""
    return [
        f"int {source.name}_input_frame({arena}const {source.camera.kind} *pixels);"
        " /* 0 when all is well */"
    ]


def _first_call(source: Source) -> str:
    name = source.name
    if source.camera is None:
        shown = describe(source.network.values[source.network.input])
        return f"Write {shown} to {name}_input()"
    return f"Give {describe_frame(source.camera)} to {name}_input_frame()"


def _lifetimes(source: Source) -> list[str]:
    if source.camera is not None:
        return [" * Every run needs a frame, free again after the call. It overwrites the outputs."]
    lines = [" * A run may overwrite the input, and the next input the outputs."]
    if normalization(source.network) is not None:
        lines.append(" * Pictures are numbers from 0 to 255; the network normalizes them itself.")
    return lines


def describe_frame(camera: Camera) -> str:
    """A frame in words."""
    return f"a frame of {camera.width} x {camera.height} pixels in {camera.layout}"


def describe(value: Value) -> str:
    """The numbers of a value in words."""
    size = value.rows * value.columns
    if size == 1:
        return f"{value.depth} numbers (float32)"
    return f"{value.rows} x {value.columns} x {value.depth} numbers (float32)"
