"""The text of `model.c`."""

from __future__ import annotations

from collections.abc import Iterator

from s2bnn_tf import __version__
from s2bnn_tf.export.c_source.memory import ALIGNMENT, Place
from s2bnn_tf.export.c_source.network import Value
from s2bnn_tf.export.c_source.source import Source, comment
from s2bnn_tf.export.c_source.steps import Call, Step


def write_code(source: Source) -> str:
    """The text of `model.c`."""
    name, macro = source.name, source.macro
    lines = [
        f"/* {comment(source.network.file)}, made by s2bnn_tf {__version__}. See {name}.h. */",
        f'#include "{name}.h"',
        "",
        "#include <string.h>",
        "",
        *(['#include "s2bnn_frame.h"'] if source.camera else []),
        '#include "s2bnn_kernels.h"',
        '#include "s2bnn_math.h"',
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
    pixels = ", const void *pixels" if source.camera and number == 0 else ""
    yield f"static void group_{number}(unsigned char *arena{pixels}) {{"
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
            kind = "int32_t" if what in ("taps", "sums") else "uint32_t"
            if what == "strip" or (what == "patches" and not step.name.startswith("Lce")):
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

    usable = [
        "  unsigned char *memory = (unsigned char *)arena;",
        "  if (!is_usable(arena)) return 1;",
    ]
    usable = usable if source.external else []
    if source.camera is None:
        yield from getter(f"{name}_input", places[source.network.input], "")
    else:
        arguments = (
            f"{'void *arena, ' if source.external else ''}const {source.camera.kind} *pixels"
        )
        yield f"int {name}_input_frame({arguments}) {{"
        yield from (*usable, "  group_0(memory, pixels);", "  return 0;", "}", "")
    for number, index in enumerate(source.network.outputs):
        yield from getter(f"{name}_output{f'_{number}' if number else ''}", places[index], "const ")
    yield f"int {name}_run({parameter}) {{"
    yield from usable
    for number in range(int(source.camera is not None), len(source.groups)):
        yield f"  group_{number}(memory);"
    yield "  return 0;"
    yield "}"
