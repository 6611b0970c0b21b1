"""The first convolution reads a few rows of the picture at a time, so that no whole one is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace

from s2bnn_tf.export.c_source.builder import Builder
from s2bnn_tf.export.c_source.camera import Camera, frame_step
from s2bnn_tf.export.c_source.network import Network
from s2bnn_tf.export.c_source.steps import Call, Step

_ROW = "source"  # the number of a row of the picture in the C source
_BY_NUMBER = ("ADD", "MUL", "SUB")
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


@dataclass(frozen=True)
class Stem:
    """The nodes from the picture to the first convolution.

    Attributes:
        convolution: The number of its node; those before it change single numbers or reverse.
        flips: The axes, 1 for rows and 2 for columns, along which the picture is reversed.
    """

    convolution: int
    flips: frozenset[int]


def find_stem(network: Network) -> Stem | None:
    """Find the first convolution; None if something else than single numbers comes before it."""
    value, flips = network.input, frozenset[int]()
    readers = [index for node in network.nodes for index in node.inputs]
    for number, node in enumerate(network.nodes):
        constants = [network.values[index].constant for index in node.inputs[1:] if index >= 0]
        alone = node.inputs[0] == value and readers.count(value) == 1
        if not alone or value in network.outputs or not constants or constants[0] is None:
            return None
        if node.name in _CONVOLUTIONS:
            return Stem(number, flips)
        if node.name == "REVERSE_V2":
            flips ^= {int(axis) % 4 for axis in constants[0].reshape(-1)}
        elif node.name not in _BY_NUMBER or constants[0].size not in (
            1,
            network.values[value].depth,
        ):
            return None
        value = node.output
    return None


def with_frames(
    network: Network, builder: Builder, camera: Camera, stem: Stem | None, steps: list[Step]
) -> list[Step]:
    """Put a camera before the steps of a network.

    With a stem, its convolution makes the rows that it reads by itself, and keeps those alone.
    """
    if stem is None:
        return [frame_step(network, builder, camera), *steps]
    rows = camera.rows.reversed() if 1 in stem.flips else camera.rows
    columns = camera.columns.reversed() if 2 in stem.flips else camera.columns
    frame = frame_step(network, builder, replace(camera, rows=rows, columns=columns))
    before = [step for step in steps[: stem.convolution] if step.name != "REVERSE_V2"]
    convolution = steps[stem.convolution]
    strip = _strip(network, builder, [frame, *before], convolution)
    return [strip, *steps[stem.convolution + 1 :]]


def _strip(network: Network, builder: Builder, before: list[Step], convolution: Step) -> Step:
    picture, window = network.values[network.input], builder.strip_window
    size, reach, stride = picture.columns * picture.depth, window.reach, window.stride
    kept = max(reach - stride, 0)  # rows that the next row of the output reads again

    def write(call: Call) -> list[str]:
        strip = call.scratch["strip"]
        made = Call({}, "line", {"sums": call.scratch["sums"]}, _ROW)
        lines = []
        if kept:
            lines = [
                f"for (int32_t i = 0; i < {kept} && {call.row} > 0; ++i) {{",
                f"  memcpy({strip} + i * {size}, {strip} + (i + {stride}) * {size}, {4 * size}U);",
                "}",
            ]
        lines += [
            f"for (int32_t i = {call.row} > 0 ? {kept} : 0; i < {reach}; ++i) {{",
            f"  const int32_t {_ROW} = {call.row} * {stride} - {window.top} + i;",
            f"  float *const line = {strip} + i * {size};",
            f"  if ({_ROW} < 0 || {_ROW} >= {picture.rows}) {{",
            f"    s2bnn_fill(line, 0.0F, {size});",
            "    continue;",
            "  }",
            *(f"  {line}" for step in before for line in step.write(made)),
            "}",
        ]
        index = convolution.whole[0]
        inner = Call({index: strip}, call.output, call.scratch, "0")
        return [*lines, *convolution.write(inner)]

    scratch = {**before[0].scratch, "strip": 4 * reach * size, **convolution.scratch}
    return replace(
        convolution,
        name=f"{convolution.name} of frame",
        whole=(),
        write=write,
        scratch=scratch,
        flash=convolution.flash + sum(step.flash for step in before),
    )
