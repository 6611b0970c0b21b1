"""What the files of an export are written from, and texts that they share."""

from __future__ import annotations

from dataclasses import dataclass

from s2bnn_tf.export.c_source.builder import Builder
from s2bnn_tf.export.c_source.camera import Camera
from s2bnn_tf.export.c_source.memory import Memory
from s2bnn_tf.export.c_source.network import Network
from s2bnn_tf.export.c_source.steps import Step


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
        camera: The camera whose frames it takes, or None if it takes floats.
        math: Whether the program has the C library's math.h.
    """

    name: str
    network: Network
    builder: Builder
    groups: list[list[Step]]
    memory: Memory
    external: bool
    camera: Camera | None = None
    math: bool = True

    @property
    def macro(self) -> str:
        """The beginning of the names of macros."""
        return self.name.upper()


def comment(text: str) -> str:
    """A text from elsewhere that cannot end a comment or continue a line."""
    return "".join(c if c.isascii() and (c.isalnum() or c in " ._-") else "?" for c in text)[:80]
