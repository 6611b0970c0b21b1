"""The text of `model.c` and `model.h`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from s2bnn_tf import __version__
from s2bnn_tf.export.c_source.builder import Builder
from s2bnn_tf.export.c_source.constants import float_literal
from s2bnn_tf.export.c_source.memory import ALIGNMENT, Memory, Place
from s2bnn_tf.export.c_source.network import Network, Value
from s2bnn_tf.export.c_source.steps import Call, Step


@dataclass(frozen=True)
class Source:
    """A network with everything that its C source is written from.

    Attributes:
        name: The beginning of the names of functions, macros and files.
        network: The network.
        builder: Its constants.
        groups: Its steps, see `group_steps`.
        memory: Its arena.
        external: Whether the caller gives the arena.
    """

    name: str
    network: Network
    builder: Builder
    groups: list[list[Step]]
    memory: Memory
    external: bool

    @property
    def macro(self) -> str:
        """The beginning of the names of macros."""
        return self.name.upper()


def write_code(source: Source) -> str:
    """The text of `model.c`."""
    name, macro = source.name, source.macro
    lines = [
        f"/* {_comment(source.network.file)}, made by s2bnn_tf {__version__}. See {name}.h. */",
        f'#include "{name}.h"',
        "",
        "#include <math.h>",
        "#include <string.h>",
        "",
        '#include "s2bnn_kernels.h"',
        "",
        f"#if defined({macro}_ARENA_LIMIT) && {macro}_ARENA_BYTES > {macro}_ARENA_LIMIT",
        f'#error "The arena of {name} is larger than {macro}_ARENA_LIMIT."',
        "#endif",
        "",
        *source.builder.constants.lines,
    ]
    if not source.external:
        lines += [f"static S2BNN_ALIGNED unsigned char memory[{macro}_ARENA_BYTES];", ""]
    for number, group in enumerate(source.groups):
        lines += [*_group(source, number, group), ""]
    return "\n".join([*lines, *_interface(source)]) + "\n"


def _group(source: Source, number: int, group: list[Step]) -> Iterator[str]:
    """A function that runs a group of steps, row by row."""
    places = source.memory.of_value
    rows = group[0].rows
    used = dict.fromkeys(i for step in group for i in (*step.reads, step.output))
    names = {id(places[i]): "" for i in used}
    yield f"/* {', '.join(step.name for step in group)} */"
    yield f"static void group_{number}(unsigned char *arena) {{"
    for index in used:
        place, value = places[index], source.network.values[index]
        if not names[id(place)]:
            names[id(place)] = f"{'row' if place.is_row else 'map'}_{index}"
            kind = _kind(value)
            yield f"  {kind} *const {names[id(place)]} = {_pointer(kind, place)};"
    scratch = list(_scratch(source, group))
    for kind, variable, place in scratch:
        yield f"  {kind} *const {variable} = {_pointer(kind, place)};"
    body, begin = [], []
    for step in group:
        call = _call(source, step, names, rows)
        if step.begin is not None:
            begin += step.begin(call)
        body += [*_copy(source, step, call), *step.write(call)]
    yield from (f"  {line}" for line in begin)
    if rows == 1:
        yield from (f"  {line}" for line in body)
    else:
        yield f"  for (int32_t row = 0; row < {rows}; ++row) {{"
        yield from (f"    {line}" for line in body)
        yield "  }"
    yield "}"


def _scratch(source: Source, group: list[Step]) -> Iterator[tuple[str, str, Place]]:
    for step in group:
        for what in step.scratch:
            kind = "int32_t" if what == "taps" else "uint32_t"
            if what == "patches" and not step.name.startswith("Lce"):
                kind = "float"
            yield kind, f"{what}_{step.output}", source.memory.of_scratch[step.output, what]


def _call(source: Source, step: Step, names: dict[int, str], rows: int) -> Call:
    places = source.memory.of_value

    def row_of(index: int) -> str:
        place, value = places[index], source.network.values[index]
        if place.is_row or rows == 1:
            return names[id(place)]
        return f"{names[id(place)]} + row * {value.columns * value.depth}"

    values = {index: names[id(places[index])] for index in step.whole}
    values |= {index: row_of(index) for index in step.by_row}
    taken = 0
    for position, index in enumerate(step.by_row):
        if places[index] is places[step.output]:
            taken = position
    scratch = {what: f"{what}_{step.output}" for what in step.scratch}
    return Call(values, row_of(step.output), scratch, "row" if rows > 1 else "0", taken)


def _copy(source: Source, step: Step, call: Call) -> list[str]:
    """A step in place needs its row there."""
    places = source.memory.of_value
    if not step.in_place or any(places[i] is places[step.output] for i in step.by_row):
        return []
    value = source.network.values[step.output]
    size = 4 * value.columns * value.depth
    return [f"memcpy({call.output}, {call.values[step.by_row[0]]}, {size}U);"]


def _pointer(kind: str, place: Place) -> str:
    return f"({kind} *)(void *)(arena + {place.offset})"


def _kind(value: Value) -> str:
    return "uint32_t" if value.dtype != "float32" else "float"


def _interface(source: Source) -> Iterator[str]:
    """The functions that the header declares."""
    name, places = source.name, source.memory.of_value
    parameter = "void *arena" if source.external else "void"
    arena = "arena" if source.external else "memory"
    if source.external:
        yield "static int is_usable(const void *arena) {"
        yield f"  return arena != NULL && (uintptr_t)arena % {ALIGNMENT}U == 0;"
        yield "}"
        yield ""

    def getter(function: str, place: Place, const: str) -> list[str]:
        kind = f"{const}float"
        value = f"({kind} *)(void *)((unsigned char *){arena} + {place.offset})"
        value = f"is_usable(arena) ? {value} : NULL" if source.external else value
        return [f"{kind} *{function}({parameter}) {{", f"  return {value};", "}", ""]

    yield from getter(f"{name}_input", places[source.network.input], "")
    for number, index in enumerate(source.network.outputs):
        yield from getter(f"{name}_output{f'_{number}' if number else ''}", places[index], "const ")
    yield f"int {name}_run({parameter}) {{"
    if source.external:
        yield "  unsigned char *memory = (unsigned char *)arena;"
        yield "  if (!is_usable(arena)) return 1;"
    for number in range(len(source.groups)):
        yield f"  group_{number}(memory);"
    yield "  return 0;"
    yield "}"


def write_header(source: Source) -> str:
    """The text of `model.h`."""
    name, macro, network = source.name, source.macro, source.network
    parameter = "void *arena" if source.external else "void"
    lines = [
        f"/* {_comment(network.file)} as C, made by s2bnn_tf {__version__}.",
        " *",
        f" * Write {describe(network.values[network.input])} to {name}_input(), call {name}_run(),",
        f" * and read {describe(network.values[network.outputs[0]])} from {name}_output().",
        f" * A run may overwrite the input, and the next input the outputs.{_normalized(network)}",
        " */",
        f"#ifndef {macro}_H",
        f"#define {macro}_H",
        "",
        *_macros(source),
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"float *{name}_input({parameter});",
        f"int {name}_run({parameter}); /* 0 when all is well */",
    ]
    for number in range(len(network.outputs)):
        suffix = f"_{number}" if number else ""
        lines.append(f"const float *{name}_output{suffix}({parameter});")
    end = ["", "#ifdef __cplusplus", "}", "#endif", "", "#endif"]
    return "\n".join([*lines, *end]) + "\n"


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
        yield f"#define {macro}_{what}_BYTES {4 * value.rows * value.columns * value.depth}"
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


def _normalized(network: Network) -> str:
    if normalization(network) is None:
        return ""
    return "\n * Pictures are numbers from 0 to 255; the network normalizes them itself."


def describe(value: Value) -> str:
    """The numbers of a value in words."""
    size = value.rows * value.columns
    if size == 1:
        return f"{value.depth} numbers (float32)"
    return f"{value.rows} x {value.columns} x {value.depth} numbers (float32)"


def _comment(text: str) -> str:
    """A text from elsewhere that cannot end a comment or continue a line."""
    return "".join(c if c.isascii() and (c.isalnum() or c in " ._-") else "?" for c in text)[:80]
