"""A text encoder in ONNX, with its tokenizer beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import DeviceError, ModelError
from s2bnn_tf.reading import open_regular, read_bytes
from s2bnn_tf.teachers.words.texts import PLAIN
from s2bnn_tf.teachers.words.vectors import CLIP_SCALE

INSTALL = "pip install 's2bnn_tf[words]'"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_TOKENIZER = "tokenizer.json"
_LARGEST_TOKENIZER = 256 * 2**20  # bytes
_ANY_LENGTH = 512  # tokens, where neither network nor tokenizer says how many


class OnnxTextEncoder:
    """A text encoder in ONNX; see `TextEncoder`.

    It returns one vector, `(1, D)`, or the vectors of all tokens, `(1, T, D)`, of which the mean
    is taken, as sentence encoders do.

    Args:
        path: The `.onnx`; `tokenizer.json` is beside it.

    Raises:
        DeviceError: If a package is missing that runs it.
        ModelError: If it is damaged or no text encoder.
    """

    templates: tuple[str, ...] = PLAIN
    scale, bias = CLIP_SCALE, 0.0

    def __init__(self, path: Path):
        try:
            import onnxruntime
        except ImportError as error:
            raise DeviceError(f"A text encoder in ONNX needs onnxruntime: {INSTALL}.") from error
        self.name = path.name
        _check_file(path)
        self._tokenizer, longest = open_tokenizer(path.with_name(_TOKENIZER))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # a damaged file can raise nearly anything
            raise ModelError(f"{path} is no network in ONNX that can be run.") from error
        inputs = {entry.name: entry for entry in self._session.get_inputs()}
        if "input_ids" not in inputs or not inputs.keys() <= set(_INPUTS):
            raise ModelError(
                f"{path} takes {', '.join(inputs)}, and a text encoder takes input_ids and "
                "perhaps attention_mask and token_type_ids; export it with these names."
            )
        self._types = {
            name: np.int32 if "int32" in entry.type else np.int64 for name, entry in inputs.items()
        }
        shape = inputs["input_ids"].shape
        self._fixed = shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None
        self.longest: int = self._fixed or longest or _ANY_LENGTH

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text."""
        found: list[int] = self._tokenizer.encode(text).ids
        return found

    def embed(self, tokens: list[int]) -> NDArray[np.float32]:
        """The vector of a text `(D,)`."""
        count = self._fixed or len(tokens)
        ids, mask = np.zeros((1, count)), np.zeros((1, count))
        ids[0, : len(tokens)], mask[0, : len(tokens)] = tokens, 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * mask}
        try:
            outputs = self._session.run(
                None, {name: given[name].astype(kind) for name, kind in self._types.items()}
            )
        except Exception as error:
            raise ModelError(f"{self.name} cannot be run on a text.") from error
        vectors = [output for output in outputs if output.ndim == 2 and len(output) == 1]
        if vectors:
            return np.asarray(vectors[0][0], np.float32)
        if outputs and outputs[0].ndim == 3 and outputs[0].shape[:2] == (1, count):
            return np.asarray(outputs[0][0, : len(tokens)].mean(axis=0), np.float32)
        raise ModelError(f"{self.name} returns neither one vector nor one for each token.")


def open_tokenizer(path: Path) -> tuple[Any, int | None]:
    """Open a `tokenizer.json`, so that it neither cuts texts off nor fills them up.

    Returns:
        The tokenizer, and the number of tokens that it would have cut texts off at, if any.

    Raises:
        DeviceError: If the package is missing that reads it.
        ModelError: If it is missing or damaged.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise DeviceError(f"A text encoder needs the package tokenizers: {INSTALL}.") from error
    try:
        text = read_bytes(path, limit=_LARGEST_TOKENIZER).decode()
        cut = json.loads(text).get("truncation") or {}
        tokenizer = Tokenizer.from_str(text)
    except FileNotFoundError as error:
        raise ModelError(
            f"There is no {path}; put the tokenizer of the text encoder beside it."
        ) from error
    except Exception as error:  # the package raises its own, and a damaged file nearly anything
        raise ModelError(f"{path} is no tokenizer that can be read.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    longest = cut.get("max_length")
    return tokenizer, longest if isinstance(longest, int) and longest > 0 else None


def _check_file(path: Path) -> None:
    try:
        open_regular(path).close()
    except FileNotFoundError as error:
        raise ModelError(f"There is no text encoder {path}; check its path.") from error
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error
