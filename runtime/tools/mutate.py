"""Mutated files for the fuzzers: damaged bytes, and whole files of graphs that make no sense.

The structure of a .tflite is changed in place: numbers are overwritten, offsets are set to other
parts, and lists that grow are appended to the file. So the result is a whole flatbuffer, unlike
after most changes of bytes, and a reader gets as far as the meaning of the graph. Mutant i of a
seed is always the same file.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

# fmt: off
NUMBERS = (
    0, 1, -1, 2, 3, 4, 7, 8, 9, 32, 33, 64, 127, 128, 255, 256, 1 << 15, 1 << 16, 1 << 24,
    (1 << 31) - 1, -(1 << 31),
)
# fmt: on
FLOATS = (0.0, -1.0, 1e-30, 1e30, float("inf"), float("nan"))


class Mutator:
    """Makes mutants of files.

    Args:
        seeds: Good files.
        structure: Whether to change the structure of the graph in them, or just bytes.
        seed: Which mutants to make.
    """

    def __init__(self, seeds: list[bytes], structure: bool, seed: int = 0) -> None:
        self.seeds = seeds
        self.graphs = [find_graph(data) for data in seeds] if structure else []
        self.seed = seed

    def __call__(self, index: int) -> bytes:
        """Mutant number `index`."""
        rng = random.Random(self.seed << 40 | index)
        chosen = rng.randrange(len(self.seeds))
        data = bytearray(self.seeds[chosen])
        for _ in range(geometric(rng, 0.4)):
            if self.graphs:
                rng.choice(CHANGES)(data, self.graphs[chosen], rng)
            else:
                change_bytes(data, rng)
        return bytes(data)


def geometric(rng: random.Random, p: float) -> int:
    count = 1
    while rng.random() > p:
        count += 1
    return count


def change_bytes(data: bytearray, rng: random.Random) -> None:
    kind, at = rng.random(), rng.randrange(len(data))
    if kind < 0.4:  # a number; flatbuffers align them
        size = rng.choice((1, 2, 4, 4, 4))
        at -= at % size
        number = rng.choice(NUMBERS) % (1 << 8 * size)
        data[at : at + size] = number.to_bytes(size, "little")[: len(data) - at]
    elif kind < 0.65:
        data[at] = (data[at] + rng.randrange(-3, 4)) % 256
    elif kind < 0.85:
        data[at] ^= 1 << rng.randrange(8)
    elif kind < 0.99:  # a piece copied from elsewhere
        source = rng.randrange(len(data))
        piece = data[source : source + rng.randrange(1, 17)]
        data[at : at + len(piece)] = piece[: len(data) - at]
    elif len(data) > 64:
        del data[max(at, 32) :]


def read(data: bytes | bytearray, form: str, at: int) -> int:
    number: int = struct.unpack_from("<" + form, data, at)[0]
    return number


def write(data: bytearray, form: str, at: int, number: int) -> None:
    number %= 1 << 8 * struct.calcsize("<" + form)
    struct.pack_into("<" + form.upper(), data, at, number)


def fields(data: bytes, at: int) -> dict[int, int]:
    """The fields of the table at a place, by number; those with default values are absent."""
    vtable = at - read(data, "i", at)
    offsets = [read(data, "H", vtable + i) for i in range(4, read(data, "H", vtable), 2)]
    return {i: at + offset for i, offset in enumerate(offsets) if offset}


def follow(data: bytes | bytearray, at: int) -> int:
    return at + read(data, "I", at)


def elements(data: bytes | bytearray, field: int | None) -> list[int]:
    """The places of the elements, of 4 bytes each, of the vector that a field refers to."""
    if field is None:
        return []
    start = follow(data, field)
    return [start + 4 + 4 * i for i in range(read(data, "I", start))]


def tables(data: bytes, field: int | None) -> list[dict[int, int]]:
    return [fields(data, follow(data, at)) for at in elements(data, field)]


@dataclass(frozen=True)
class Graph:
    """Where a file keeps the parts of its first graph: tables, by the numbers of schema.fbs."""

    graph: dict[int, int]
    tensors: list[dict[int, int]]
    nodes: list[dict[int, int]]
    codes: list[dict[int, int]]
    buffers: list[dict[int, int]]

    def lists(self) -> list[int]:
        """The fields that refer to lists of tensors."""
        graph = [self.graph[i] for i in (1, 2) if i in self.graph]
        return graph + [node[i] for node in self.nodes for i in (1, 2) if i in node]


def find_graph(data: bytes) -> Graph:
    model = fields(data, follow(data, 0))
    graph = tables(data, model[2])[0]
    return Graph(
        graph,
        tables(data, graph.get(0)),
        tables(data, graph.get(3)),
        tables(data, model.get(1)),
        tables(data, model.get(4)),
    )


def slots(data: bytearray, graph: Graph) -> list[int]:
    """The places of all numbers of tensors."""
    return [at for field in graph.lists() for at in elements(data, field)]


def any_tensor(graph: Graph, rng: random.Random) -> int:
    count = len(graph.tensors)
    if rng.random() < 0.85:
        return rng.randrange(count)
    return rng.choice((-1, -1, -2, count, count + 1, 1 << 16, (1 << 31) - 1, -(1 << 31)))


def swap(data: bytearray, a: int, b: int) -> None:
    data[a : a + 4], data[b : b + 4] = data[b : b + 4], data[a : a + 4]


def swap_tensors(data: bytearray, graph: Graph, rng: random.Random) -> None:
    places = slots(data, graph)
    if places:
        swap(data, rng.choice(places), rng.choice(places))


def replace_tensor(data: bytearray, graph: Graph, rng: random.Random) -> None:
    places = slots(data, graph)
    if places:
        write(data, "i", rng.choice(places), any_tensor(graph, rng))


def alias_output(data: bytearray, graph: Graph, rng: random.Random) -> None:
    """Let a node write what it reads, or what another node writes."""
    node, other = rng.choice(graph.nodes), rng.choice(graph.nodes)
    outputs = elements(data, node.get(2))
    sources = elements(data, rng.choice((node.get(1), other.get(2), graph.graph.get(1))))
    if outputs and sources:
        write(data, "i", rng.choice(outputs), read(data, "i", rng.choice(sources)))


def resize_list(data: bytearray, graph: Graph, rng: random.Random) -> None:
    field = rng.choice(graph.lists())
    if rng.random() < 0.5:
        start = follow(data, field)
        write(data, "I", start, max(read(data, "I", start) - 1, 0))
        return
    values = [read(data, "i", at) for at in elements(data, field)]
    values.insert(rng.randrange(len(values) + 1), any_tensor(graph, rng))
    append(data, field, values)


def append(data: bytearray, field: int, values: list[int]) -> None:
    """Let a field refer to a new vector at the end of the file."""
    data += bytes(-len(data) % 4)
    write(data, "I", field, len(data) - field)
    data += struct.pack(f"<I{len(values)}i", len(values), *values)


def refer(data: bytearray, at: int, target: int) -> None:
    if target > at:  # offsets are positive
        write(data, "I", at, target - at)


def change_nodes(data: bytearray, graph: Graph, rng: random.Random) -> None:
    """Exchange two nodes, put one in the place of another, or drop the last."""
    change_tables(data, graph.graph.get(3), rng)


def change_tensors(data: bytearray, graph: Graph, rng: random.Random) -> None:
    change_tables(data, graph.graph.get(0), rng)


def change_tables(data: bytearray, field: int | None, rng: random.Random) -> None:
    places = elements(data, field)
    if field is None or not places:
        return
    a, b = rng.choice(places), rng.choice(places)
    target_a, target_b = follow(data, a), follow(data, b)
    kind = rng.random()
    if kind < 0.5:
        refer(data, a, target_b)
        refer(data, b, target_a)
    elif kind < 0.85:
        refer(data, a, target_b)
    else:
        write(data, "I", follow(data, field), len(places) - 1)


def change_shape(data: bytearray, graph: Graph, rng: random.Random) -> None:
    field = rng.choice(graph.tensors).get(0)
    places = elements(data, field)
    if field is None:
        return
    kind = rng.random()
    if places and kind < 0.4:
        write(data, "i", rng.choice(places), rng.choice(NUMBERS))
    elif places and kind < 0.6:
        at = rng.choice(places)
        write(data, "i", at, read(data, "i", at) + rng.choice((-1, 1)))
    elif places and kind < 0.7:
        swap(data, rng.choice(places), rng.choice(places))
    elif places and kind < 0.85:
        write(data, "I", follow(data, field), rng.randrange(len(places)))
    else:
        values = [read(data, "i", at) for at in places]
        append(data, field, [*values, rng.choice((1, 1, 2, 32, 0, -1))])


def change_type(data: bytearray, graph: Graph, rng: random.Random) -> None:
    field = rng.choice(graph.tensors).get(1)
    if field is not None:
        data[field] = rng.choice((*range(19), 127, 255))


def change_variable(data: bytearray, graph: Graph, rng: random.Random) -> None:
    field = rng.choice(graph.tensors).get(5)
    if field is not None:
        data[field] ^= 1


def change_buffer(data: bytearray, graph: Graph, rng: random.Random) -> None:
    """Give a tensor no buffer or another, or shorten a buffer."""
    kind = rng.random()
    if kind < 0.3:
        field = rng.choice(graph.buffers).get(0)
        if field is not None:
            start = follow(data, field)
            size = read(data, "I", start)
            write(data, "I", start, rng.choice((0, max(size - 1, 0), size // 2, size - size % 3)))
        return
    field = rng.choice(graph.tensors).get(2)
    if field is not None:
        other = rng.randrange(len(graph.buffers))
        write(data, "I", field, rng.choice((0, 0, other, other, len(graph.buffers), -1)))


def change_values(data: bytearray, graph: Graph, rng: random.Random) -> None:
    """Overwrite a number in a constant: axes and shapes, weights and thresholds."""
    field = rng.choice(graph.buffers).get(0)
    if field is None:
        return
    start = follow(data, field)
    count = read(data, "I", start) // 4
    if count:
        at = start + 4 + 4 * rng.randrange(count)
        if rng.random() < 0.6:
            write(data, "i", at, rng.choice(NUMBERS))
        else:
            struct.pack_into("<f", data, at, rng.choice(FLOATS))


def change_quantization(data: bytearray, graph: Graph, rng: random.Random) -> None:
    field = rng.choice(graph.tensors).get(4)
    if field is None:
        return
    quantization = fields(data, follow(data, field))
    scales = elements(data, quantization.get(2))
    if scales:
        struct.pack_into("<f", data, rng.choice(scales), rng.choice(FLOATS))


def change_operator(data: bytearray, graph: Graph, rng: random.Random) -> None:
    """Give a node the operator of another, or change an operator everywhere."""
    if rng.random() < 0.7:
        field = rng.choice(graph.nodes).get(0)
        if field is not None:
            count = len(graph.codes)
            write(data, "I", field, rng.choice((*range(count), *range(count), count, -1)))
        return
    code = rng.choice(graph.codes)
    number = rng.choice((*range(0, 160), -1, 32, 32, 32, 1 << 20))
    if 0 in code:
        data[code[0]] = number % 256 if number < 127 else 127
    if 3 in code:
        write(data, "i", code[3], number)


def change_options(data: bytearray, graph: Graph, rng: random.Random) -> None:
    node = rng.choice(graph.nodes)
    if 5 in node and rng.random() < 0.5:  # custom options
        start = follow(data, node[5])
        size = read(data, "I", start)
        if size:
            data[start + 4 + rng.randrange(size)] = rng.randrange(256)
    elif 4 in node and 3 in node and data[node[3]]:
        options = fields(data, follow(data, node[4]))
        if rng.random() < 0.1:
            data[node[3]] = rng.randrange(127)
        elif options:
            at = rng.choice(list(options.values()))
            size = rng.choice((1, 4)) if at % 4 == 0 else 1
            number = rng.choice(NUMBERS) % (1 << 8 * size)
            data[at : at + size] = number.to_bytes(size, "little")


Change = Callable[[bytearray, Graph, random.Random], None]
CHANGES: tuple[Change, ...] = (
    swap_tensors,
    replace_tensor,
    replace_tensor,
    alias_output,
    resize_list,
    change_nodes,
    change_nodes,
    change_tensors,
    change_shape,
    change_shape,
    change_type,
    change_variable,
    change_buffer,
    change_values,
    change_quantization,
    change_operator,
    change_options,
)
