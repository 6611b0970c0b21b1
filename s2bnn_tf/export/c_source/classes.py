"""The classes of `s2bnn-run enroll` as C: constants in flash, and a table in RAM for more."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.export.c_source.constants import Constants, float_literal, string_array
from s2bnn_tf.export.c_source.parts import Function, device_errors, open_encoder, space_of

if TYPE_CHECKING:
    from s2bnn_runtime import PrototypeClassifier

_FALSE_ALARMS = 0.05  # the default of `s2bnn-run classify`
_LARGEST_CAPACITY = 1000
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

    key: ClassVar[str] = "classes"
    usage: ClassVar[str] = (
        "`@NAME@_classify(@VECTOR@, &score)` of `@NAME@_classes.h` gives the number of the\n   "
        "nearest class, or -1 for none of them; `@NAME@_class_name(number)` is its name."
    )

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
        """See `Part`."""
        thresholds = [round(float(threshold), 6) for threshold in self.thresholds]
        return {
            "names": self.names,
            "thresholds": thresholds,
            "capacity": self.capacity,
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
        }

    def macros(self, macro: str) -> list[str]:
        """See `Part`."""
        count, dim = len(self.names), self.rows.shape[1]
        return [
            f"#define {macro}_CLASSES {count}",
            f"#define {macro}_CLASSES_CAPACITY {self.capacity}",
            f"#define {macro}_EMBEDDING {dim} /* numbers of an embedding */",
            f"#define {macro}_TABLE_BYTES S2BNN_TABLE_BYTES({count}, {dim}, {self.capacity})",
        ]

    def functions(self, name: str) -> list[Function]:
        """See `Part`."""
        table = "&classes, &table"
        vector, vector_score = "const float* embedding", "const float* embedding, float* score"
        return [
            (
                f"int32_t {name}_classify({vector_score})",
                f"return s2bnn_classify({table}, embedding, score);",
            ),
            (
                f"int32_t {name}_nearest({vector_score})",
                f"return s2bnn_nearest({table}, embedding, score);",
            ),
            (
                f"const char* {name}_class_name(int32_t number)",
                f"return s2bnn_class_name({table}, number);",
            ),
            (
                f"int32_t {name}_enroll(const char* class_name, {vector})",
                f"return s2bnn_enroll({table}, class_name, embedding);",
            ),
            (
                f"int {name}_confirm(int32_t number, {vector})",
                f"return s2bnn_confirm({table}, number, embedding);",
            ),
            (f"int {name}_forget(int32_t number)", f"return s2bnn_forget({table}, number);"),
            (
                f"void {name}_save_classes(unsigned char* bytes)",
                f"s2bnn_save({table}, bytes);",
            ),
            (
                f"int {name}_load_classes(const unsigned char* bytes)",
                f"return s2bnn_load({table}, bytes);",
            ),
        ]

    def code(self) -> list[str]:
        """See `Part`."""
        places = max(self.capacity, 1)  # C has no arrays without elements
        dim, constants = self.rows.shape[1], Constants()
        inverse = 1 / np.linalg.norm(self.rows.astype(np.float64), axis=1)
        arrays: dict[str, NDArray[Any]] = {
            "rows": self.rows,
            "first_rows": self.first_rows,
            "inverse_lengths": inverse.astype(np.float32),
            "sum_lengths": self.sum_lengths,
            "thresholds": self.thresholds,
        }
        added = [constants.add(key, values) for key, values in arrays.items()]
        rows, first_rows, inverse_lengths, sum_lengths, thresholds = added
        return [
            *constants.lines,
            *string_array("names", self.names),
            "",
            "static const s2bnn_classes classes = {",
            f"    {len(self.names)}, {dim}, {self.capacity}, 0x{self.identity:08x}U,",
            f"    {rows}, {first_rows}, {inverse_lengths}, {sum_lengths}, {thresholds},",
            f"    {float_literal(float(self.thresholds.min()))}, names}};",
            "",
            f"static unsigned char states[{len(self.names)}];",
            f"static s2bnn_place places[{places}];",
            f"static float sums[{places * dim}];",
            "static s2bnn_table table = {states, places, sums};",
        ]


def read_classes(path: str | Path, *, model: str | Path, capacity: int) -> Classes:
    """Read what `s2bnn-run enroll` wrote.

    Args:
        path: The .npz.
        model: The `.tflite` that the classes were enrolled with.
        capacity: The number of further classes that the table has places for.

    Raises:
        ConfigError: If the capacity is not from 0 to 1000, or there is one beside words, to which
            pictures cannot be added in C.
        DeviceError: If the runtime is not installed, or the file cannot be read.
        ModelError: If there are no classes, or if they were enrolled with another network or
            that gives no embedding.
    """
    if not 0 <= capacity <= _LARGEST_CAPACITY:
        raise ConfigError(f"--capacity is a number from 0 to {_LARGEST_CAPACITY}, not {capacity}.")
    classifier, found = open_classes(path, model)
    with device_errors("--prototypes", path):
        thresholds = _thresholds(classifier)
    if classifier.words is not None and capacity:
        raise ConfigError(
            f"{path} holds words, and in C pictures cannot be added to them: leave --capacity out, "
            "and add pictures with `s2bnn-run enroll --onto` before."
        )
    names, sums = list(found), list(found.values())
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


def open_classes(
    path: str | Path, model: str | Path
) -> tuple[PrototypeClassifier, dict[str, NDArray[np.float64]]]:
    """Open what `s2bnn-run enroll` or `s2bnn words` wrote, for a network.

    Returns:
        The classifier; and by class its prototypes, before they have unit length, `(P, D)`.

    Raises:
        DeviceError: If the runtime is not installed, or the file cannot be read.
        ModelError: If there are no classes, or they are of another network or of one that gives no
            embedding.
    """
    encoder = open_encoder(model, "classes need a vector")
    with device_errors("--prototypes", path):
        from s2bnn_runtime import PrototypeClassifier

        classifier = PrototypeClassifier.load(path)
        classifier.enter(space_of(encoder))
    if not classifier.counts:
        raise ModelError(f"{path} holds no class: add one with `s2bnn-run enroll`.")
    sums = {
        name: np.asarray(classifier._prototypes(name)[0], np.float64) for name in classifier.counts
    }
    dim = next(iter(sums.values())).shape[1]
    if dim != encoder.feature_dim:
        raise ModelError(
            f"{path} holds classes of {dim} numbers, and the network gives {encoder.feature_dim}: "
            "make them for this network."
        )
    return classifier, sums


def _thresholds(classifier: PrototypeClassifier) -> dict[str, float]:
    """Those of `s2bnn-run classify` without options."""
    chosen = classifier.calibrated(_FALSE_ALARMS) if classifier.threshold == -1 else None
    return chosen or dict.fromkeys(classifier.counts, classifier.threshold)
