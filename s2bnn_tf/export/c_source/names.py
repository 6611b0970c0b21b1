"""Names that C and C++ allow for functions, and that no file of the export has already."""

from __future__ import annotations

import re

from s2bnn_tf.errors import ConfigError

_LONGEST = 40
_KEYWORDS = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t
    char32_t class co_await co_return co_yield compl concept const const_cast consteval constexpr
    constinit continue decltype default delete do double dynamic_cast else enum explicit export
    extern false float for friend goto if inline int long mutable namespace new noexcept not
    not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires
    restrict return short signed sizeof static static_assert static_cast struct switch template
    this thread_local throw true try typedef typeid typename union unsigned using virtual void
    volatile wchar_t while xor xor_eq
    """.split()
)
# NAME.h must not hide a header of the C library.
_HEADERS = frozenset(
    """
    assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal
    stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath
    threads time uchar wchar wctype immintrin arm_neon arm_mve wasm_simd128
    """.split()
)


def check_name(name: str) -> None:
    """Refuse a name that cannot be the beginning of functions, macros and files.

    Raises:
        ConfigError: If it is no identifier of C and C++, is reserved, or names another file.
    """
    good = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name, re.ASCII) is not None
    # Two underscores are reserved in C++, and `NAME_run` adds one.
    good &= "__" not in f"{name}_"
    reserved = name in _KEYWORDS | _HEADERS or name == "main" or name.lower().startswith("s2bnn")
    if not good or reserved or len(name) > _LONGEST:
        shown = "".join(c if c.isprintable() else "?" for c in name[:_LONGEST])
        raise ConfigError(
            f"--name {shown!r} cannot begin the names of functions in C and C++: use at most "
            f"{_LONGEST} letters, digits and single underscores between them, a letter first, and "
            "no keyword."
        )
