"""The files of an export that are templates with words to fill in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2bnn_tf import __version__
from s2bnn_tf.export.c_source.header import describe, describe_frame, normalization
from s2bnn_tf.export.c_source.parts import Part
from s2bnn_tf.export.c_source.source import Source

_FILES = Path(__file__).with_name("files")

_CMAKE_LIBM = """\
if(UNIX)
  target_link_libraries(@NAME@ PUBLIC m)
endif()
"""


def filled_in(file: str, source: Source, card: dict[str, Any], parts: list[Part]) -> str:
    """The text of a file of the export whose template has the network's words to fill in.

    Args:
        file: Its name.
        source: The network.
        card: The export's card.
        parts: What it holds besides the network.
    """
    network, macro = source.network, source.macro
    arena = f"static float arena[{macro}_ARENA_BYTES / 4];\n\n" if source.external else ""
    if source.external:
        aligned = f"__attribute__((aligned({macro}_ARENA_ALIGNMENT)))"
        arena = arena.replace("float arena", f"{aligned} float arena")
    further = [f"{begin}_{part.key}" for part in parts for begin in (source.name, "s2bnn")]
    further += ["s2bnn_frame"] if source.camera else []
    usages = "".join(f"\n{number}. {part.usage}" for number, part in enumerate(parts, 4))
    words = {
        "CMAKE_LIBM": _CMAKE_LIBM.replace("@NAME@", source.name) if source.math else "",
        "LIBM": " -lm" if source.math else "",
        "INPUT": _input(source),
        "PARTS": usages,
        "VECTOR": _output(source, is_map=False),
        "MAP": _output(source, is_map=True),
        "NAME": source.name,
        "MACRO": macro,
        "OBJECTS": "".join(f" {part}.o" for part in further),
        "SOURCES": "".join(f" {part}.c" for part in further),
        "ARENA": arena,
        "ARGUMENT": "arena" if source.external else "",
        "BEFORE": "arena, " if source.external else "",
        "FILE": network.file,
        "VERSION": __version__,
        "FLASH": f"{card['flash_bytes']:,}",
        "RAM": f"{card['arena_bytes']:,}",
        "OUTPUT": describe(network.values[network.outputs[0]]),
    }
    template = file
    if source.camera is not None:
        words |= {"PIXEL": source.camera.kind, "LAYOUT": source.camera.layout}
        template = file.replace("main.c", "main_frame.c")
    text = (_FILES / f"{template}.in").read_text("utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _input(source: Source) -> str:
    """The first thing to do, in a sentence."""
    arena = "arena" if source.external else ""
    if source.camera is not None:
        before = f"{arena}, " if arena else ""
        frame = describe_frame(source.camera)
        return f"Call `{source.name}_input_frame({before}pixels)` with {frame}."
    network = source.network
    shown = "0-255, RGB or gray" if normalization(network) else "as the network expects it"
    numbers = describe(network.values[network.input])
    return f"Write the picture to `{source.name}_input({arena})`: {numbers}, {shown}."


def _output(source: Source, *, is_map: bool) -> str:
    """The call that returns the first output that is a map, or a vector."""
    for number, index in enumerate(source.network.outputs):
        if (len(source.network.values[index].shape) == 4) == is_map:
            suffix = f"_{number}" if number else ""
            return f"{source.name}_output{suffix}({'arena' if source.external else ''})"
    return ""
