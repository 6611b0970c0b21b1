"""The classes of `s2bnn-run enroll` as C: constants in flash, and a table in RAM for more."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf import __version__
from s2bnn_tf.errors import ConfigError, DeviceError, ModelError
from s2bnn_tf.export.c_source.constants import Constants, float_literal
from s2bnn_tf.tflite import TFLiteEncoder

if TYPE_CHECKING:
    from s2bnn_runtime import PrototypeClassifier

_FALSE_ALARMS = 0.05  # the default of `s2bnn-run classify`
_LARGEST_CAPACITY = 1000
CLASS_FILES = ("s2bnn_classes.c", "s2bnn_classes.h")  # the same for every model
_PLACE_BYTES = 40  # of a place in the table, without its sum


@dataclass(frozen=True)
class Classes:
    """What the C source of classes is written from.

    Attributes:
        names: The name of each class.
        rows: The prototypes in steps of 1/127 of the largest number of each, int8 `(P, D)`.
        first_rows: Where the prototypes of each class begin, and their number, `(K + 1,)`.
        sum_lengths: The lengths of the sums of the examples, `(K,)`.
        thresholds: The smallest cosine of each class, `(K,)`.
        capacity: The number of further classes.
    """

    names: list[str]
    rows: NDArray[np.int8]
    first_rows: NDArray[np.int32]
    sum_lengths: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    capacity: int

    @property
    def identity(self) -> int:
        """A number that tells tables for these classes from those for others."""
        arrays: list[NDArray[Any]] = [self.rows, self.first_rows, self.sum_lengths]
        parts = [array.tobytes() for array in arrays]
        return zlib.crc32(b"".join(parts) + repr((self.names, self.capacity)).encode())

    @property
    def flash_bytes(self) -> int:
        """The bytes of the constants."""
        arrays = (self.rows, self.first_rows, self.sum_lengths, self.thresholds)
        names = sum(len(name.encode()) + 1 for name in self.names)
        return sum(array.nbytes for array in arrays) + 4 * len(self.rows) + names

    @property
    def ram_bytes(self) -> int:
        """The bytes of the table."""
        return len(self.names) + max(self.capacity, 1) * (_PLACE_BYTES + 4 * self.rows.shape[1])

    def describe(self) -> dict[str, Any]:
        """The part of an export's card."""
        thresholds = [round(float(threshold), 6) for threshold in self.thresholds]
        return {
            "names": self.names,
            "thresholds": thresholds,
            "capacity": self.capacity,
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
        }


def read_classes(path: str | Path, *, model: str | Path, capacity: int) -> Classes:
    """Read what `s2bnn-run enroll` wrote.

    Args:
        path: The .npz.
        model: The `.tflite` that the classes were enrolled with.
        capacity: The number of further classes that the table has places for.

    Raises:
        ConfigError: If the capacity is not from 0 to 1000.
        DeviceError: If the runtime is not installed, or the file cannot be read.
        ModelError: If there are no classes, or if they were enrolled with another network or
            that gives no embedding.
    """
    if not 0 <= capacity <= _LARGEST_CAPACITY:
        raise ConfigError(f"--capacity is a number from 0 to {_LARGEST_CAPACITY}, not {capacity}.")
    try:
        from s2bnn_runtime import PrototypeClassifier, S2bnnError
    except ImportError as error:
        raise DeviceError(
            f"--prototypes needs s2bnn_runtime ({error}): run `make runtime`, and the same "
            "command again."
        ) from error
    encoder = TFLiteEncoder(model)
    if encoder.head == "map":
        raise ModelError(
            f"{model} gives a map alone, and classes need a vector: convert it with --head none."
        )
    try:
        classifier = PrototypeClassifier.load(path)
        classifier.enter(encoder.space)
        thresholds = _thresholds(classifier)
    except S2bnnError as error:
        raise DeviceError(f"{path}: {error}.") from error
    names = list(classifier.counts)
    if not names:
        raise ModelError(f"{path} holds no class: add one with `s2bnn-run enroll`.")
    sums = [np.asarray(classifier._prototypes(name)[0], np.float64) for name in names]
    if sums[0].shape[1] != encoder.feature_dim:
        raise ModelError(
            f"{path} holds classes of {sums[0].shape[1]} numbers, and the network gives "
            f"{encoder.feature_dim}: enroll them with this network."
        )
    whole = np.concatenate(sums)
    steps = np.round(whole / np.abs(whole).max(axis=1, keepdims=True) * 127).astype(np.int8)
    return Classes(
        names,
        steps,
        np.cumsum([0, *map(len, sums)]).astype(np.int32),
        np.array([np.linalg.norm(rows[0]) for rows in sums], np.float32),
        np.array([thresholds[name] for name in names], np.float32),
        capacity,
    )


def _thresholds(classifier: PrototypeClassifier) -> dict[str, float]:
    """Those of `s2bnn-run classify` without options."""
    chosen = classifier.calibrated(_FALSE_ALARMS) if classifier.threshold == -1 else None
    return chosen or dict.fromkeys(classifier.counts, classifier.threshold)


def class_files(name: str, classes: Classes) -> dict[str, str]:
    """The header and the source of the functions that classify, by the names of the files."""
    return {
        f"{name}_classes.h": "\n".join(_header(name, classes)) + "\n",
        f"{name}_classes.c": "\n".join(_code(name, classes)) + "\n",
    }


def _header(name: str, classes: Classes) -> Iterator[str]:
    macro, (_, dim) = name.upper(), classes.rows.shape
    count, capacity = len(classes.names), classes.capacity
    yield f"""\
/* The classes of {name}, made by s2bnn_tf {__version__}. What each function returns is said in
 * s2bnn_classes.h. Classes 0 to {macro}_CLASSES - 1 are in flash, further ones in a table in RAM.
 */
#ifndef {macro}_CLASSES_H
#define {macro}_CLASSES_H

#include "s2bnn_classes.h"

#define {macro}_CLASSES {count}
#define {macro}_CLASSES_CAPACITY {capacity}
#define {macro}_EMBEDDING {dim} /* numbers of an embedding */
#define {macro}_TABLE_BYTES S2BNN_TABLE_BYTES({count}, {dim}, {capacity})

#ifdef __cplusplus
extern "C" {{
#endif
"""
    for declaration, _ in _functions(name):
        yield f"{declaration};"
    yield """
#ifdef __cplusplus
}
#endif

#endif"""


def _functions(name: str) -> list[tuple[str, str]]:
    """What each function is declared as, and what it returns."""
    table = "&classes, &table"
    return [
        (
            f"int32_t {name}_classify(const float* embedding, float* score)",
            f"s2bnn_classify({table}, embedding, score)",
        ),
        (
            f"int32_t {name}_nearest(const float* embedding, float* score)",
            f"s2bnn_nearest({table}, embedding, score)",
        ),
        (
            f"const char* {name}_class_name(int32_t number)",
            f"s2bnn_class_name({table}, number)",
        ),
        (
            f"int32_t {name}_enroll(const char* class_name, const float* embedding)",
            f"s2bnn_enroll({table}, class_name, embedding)",
        ),
        (
            f"int {name}_confirm(int32_t number, const float* embedding)",
            f"s2bnn_confirm({table}, number, embedding)",
        ),
        (f"int {name}_forget(int32_t number)", f"s2bnn_forget({table}, number)"),
        (
            f"void {name}_save_classes(unsigned char* bytes)",
            f"s2bnn_save({table}, bytes)",
        ),
        (
            f"int {name}_load_classes(const unsigned char* bytes)",
            f"s2bnn_load({table}, bytes)",
        ),
    ]


def _code(name: str, classes: Classes) -> Iterator[str]:
    (_, dim), capacity = classes.rows.shape, classes.capacity
    places = max(capacity, 1)  # C has no arrays without elements
    constants = Constants()
    inverse = 1 / np.linalg.norm(classes.rows.astype(np.float64), axis=1)
    arrays: dict[str, NDArray[Any]] = {
        "rows": classes.rows,
        "first_rows": classes.first_rows,
        "inverse_lengths": inverse.astype(np.float32),
        "sum_lengths": classes.sum_lengths,
        "thresholds": classes.thresholds,
    }
    added = [constants.add(key, values) for key, values in arrays.items()]
    rows, first_rows, inverse_lengths, sum_lengths, thresholds = added
    yield f'#include "{name}_classes.h"\n\n#include "s2bnn_kernels.h"\n'
    yield from constants.lines
    yield f"static const char* const names[{len(classes.names)}] = {{"
    yield from (f"    {_string(text)}," for text in classes.names)
    yield "};\n"
    yield "static const s2bnn_classes classes = {"
    yield f"    {len(classes.names)}, {dim}, {capacity}, 0x{classes.identity:08x}U,"
    yield f"    {rows}, {first_rows}, {inverse_lengths}, {sum_lengths}, {thresholds},"
    yield f"    {float_literal(float(classes.thresholds.min()))}, names}};\n"
    yield f"static unsigned char states[{len(classes.names)}];"
    yield f"static s2bnn_place places[{places}];"
    yield f"static float sums[{places * dim}];"
    yield "static s2bnn_table table = {states, places, sums};"
    for declaration, call in _functions(name):
        returned = "" if declaration.startswith("void") else "return "
        yield f"\n{declaration} {{ {returned}{call}; }}"


def _string(text: str) -> str:
    """A text as a literal of C; each byte beyond plain ASCII by its octal number."""
    plain = {byte for byte in range(32, 127)} - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'
