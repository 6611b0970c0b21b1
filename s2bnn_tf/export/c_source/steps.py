"""The steps of the C source: each is one call of a kernel, most of them for one row of a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Call:
    """The C expressions that a step is written with.

    Attributes:
        values: Of what it reads: the row at hand, or the first row of what it reads whole.
        output: Of the row that it writes.
        scratch: Of its scratch memory, by name.
        row: The number of the row.
        taken: Of a step in place, which of `by_row` is in the output already.
    """

    values: Mapping[int, str]
    output: str
    scratch: Mapping[str, str]
    row: str
    taken: int = 0


Write = Callable[[Call], list[str]]


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        name: The operation's name in the file.
        whole: The values that it reads at any row, so that they must be finished before.
        by_row: The values of which it reads only the row that it writes.
        output: The value that it writes.
        rows: How many rows the output has; the step runs once for each.
        write: Makes the C lines of one row.
        in_place: Whether it changes its output, so that the first of `by_row` is copied there
            unless it is there already.
        scratch: The bytes of memory that it needs while it runs, by name.
        begin: Makes the lines that run once, before the first row.
        flash: The bytes of its constants.
        binary_macs: Multiply-adds of one bit by one bit.
        float_macs: All others.
    """

    name: str
    whole: tuple[int, ...]
    by_row: tuple[int, ...]
    output: int
    rows: int
    write: Write
    in_place: bool = False
    scratch: Mapping[str, int] = field(default_factory=dict)
    begin: Write | None = None
    flash: int = 0
    binary_macs: int = 0
    float_macs: int = 0

    @property
    def reads(self) -> tuple[int, ...]:
        """All values that it reads."""
        return (*self.whole, *self.by_row)


def group_steps(steps: list[Step]) -> list[list[Step]]:
    """Join neighboring steps into groups that run row by row, in one pass over a map.

    A step joins the group before it if both have as many rows, and what it reads at any row was
    finished before the group began.
    """
    groups: list[list[Step]] = []
    for step in steps:
        made = {item.output for item in groups[-1]} if groups else set()
        fits = groups and groups[-1][0].rows == step.rows
        if fits and (step.rows == 1 or not made & set(step.whole)):
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups
