"""Where every value lives: one arena, planned by the lifetimes of the values."""

from __future__ import annotations

from dataclasses import dataclass

from s2bnn_tf.export.c_source.network import Network
from s2bnn_tf.export.c_source.steps import Step

ALIGNMENT = 16  # bytes; vectors are loaded from any address, and this is the best one for most


@dataclass
class Place:
    """A piece of the arena.

    Attributes:
        size: In bytes.
        first: The group that writes it first; -1 for the input.
        last: The group that reads it last.
        is_row: Whether it holds one row of a map at a time.
        offset: Where it begins in the arena.
    """

    size: int
    first: int
    last: int
    is_row: bool = False
    offset: int = 0


@dataclass
class Memory:
    """The places of all values and of the scratch memory, and the size of the arena in bytes."""

    of_value: dict[int, Place]
    of_scratch: dict[tuple[int, str], Place]  # by the output of its step, and its name
    size: int

    def used(self, group: int) -> int:
        """The bytes that hold something while a group runs."""
        distinct = {id(p): p for p in (*self.of_value.values(), *self.of_scratch.values())}
        return sum(p.size for p in distinct.values() if p.first <= group <= p.last)


def plan_memory(network: Network, groups: list[list[Step]]) -> Memory:
    """Give every value a place, such that those that are needed at once do not overlap.

    A step that works in place takes over the place of the value that it reads, if nothing else
    needs that. A value that only its own group needs takes one row.
    """
    uses = _uses(network, groups)
    of_value: dict[int, Place] = {}
    if all(step.output != network.input for group in groups for step in group):
        size = _size(network, network.input) if uses[network.input] >= 0 else 0
        of_value[network.input] = Place(size, -1, uses[network.input])
    scratch: dict[tuple[int, str], Place] = {}
    for number, group in enumerate(groups):
        for position, step in enumerate(group):
            found = _taken_over(network, of_value, number, position, group, uses)
            if found is None:
                found = Place(0, number, number, is_row=True)
            of_value[step.output] = found
            last = uses[step.output]
            found.last = max(found.last, last)
            if last > number or not found.is_row:
                found.is_row = False
                found.size = _size(network, step.output)
            else:
                found.size = _size(network, step.output) // step.rows
            for name, size in step.scratch.items():
                scratch[step.output, name] = Place(size, number, number)
    distinct = {id(place): place for place in (*of_value.values(), *scratch.values())}
    return Memory(of_value, scratch, _lay_out(list(distinct.values())))


def _size(network: Network, index: int) -> int:
    value = network.values[index]
    return 4 * value.rows * value.columns * value.depth


def _uses(network: Network, groups: list[list[Step]]) -> dict[int, int]:
    """The group that reads each value last; outputs are read behind the last group."""
    last: dict[int, int] = {network.input: -1}
    for number, group in enumerate(groups):
        for step in group:
            last.setdefault(step.output, number)
            for index in step.reads:
                last[index] = number
    for index in network.outputs:
        last[index] = len(groups)
    return last


def _taken_over(
    network: Network,
    of_value: dict[int, Place],
    number: int,
    position: int,
    group: list[Step],
    uses: dict[int, int],
) -> Place | None:
    """The place that a step in place can continue in: whole maps first, which saves one."""
    step = group[position]
    if not step.in_place:
        return None
    windows = {id(of_value[i]) for item in group for i in item.whole if i in of_value}
    later = {i for item in group[position + 1 :] for i in item.reads}
    free = []
    for index in step.by_row:
        place = of_value[index]
        alone = sum(of_value[other] is place for other in step.reads) == 1
        ends_here = uses[index] <= number and index not in later
        same = _size(network, index) == _size(network, step.output)
        if alone and ends_here and same and id(place) not in windows:
            free.append(place)
    return min(free, key=lambda place: place.is_row) if free else None


def _lay_out(places: list[Place]) -> int:
    """Set the offsets, the largest places first, each at the lowest gap; return the size."""
    done: list[Place] = []
    for place in sorted(places, key=lambda p: (-p.size, p.first, p.last)):
        offset = 0
        for other in sorted(done, key=lambda p: p.offset):
            if other.last < place.first or place.last < other.first:
                continue
            if offset + place.size <= other.offset:
                break
            offset = max(offset, -(-(other.offset + other.size) // ALIGNMENT) * ALIGNMENT)
        place.offset = offset
        done.append(place)
    end = max(place.offset + place.size for place in places)
    return -(-end // ALIGNMENT) * ALIGNMENT
