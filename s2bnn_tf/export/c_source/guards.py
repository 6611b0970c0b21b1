"""The guards of a header in C."""

from __future__ import annotations

from collections.abc import Iterable


def guarded(
    guard: str, comment: Iterable[str], above: Iterable[str], declarations: Iterable[str]
) -> str:
    """The text of a header that may be included twice, and from C++.

    Args:
        guard: The macro that says that it was included.
        comment: The lines of its first comment.
        above: Includes and macros.
        declarations: What has C's linkage.
    """
    return "\n".join(
        [
            *comment,
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            *above,
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            *declarations,
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            "#endif",
            "",
        ]
    )
