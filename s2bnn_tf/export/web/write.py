"""A `.tflite` as a page that classifies and searches pictures in a browser, without a server."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.export.c_source import export_c
from s2bnn_tf.export.web.classes import NO_CLASSES, as_script, read_page_classes
from s2bnn_tf.export.web.compiler import compile_module, find_compiler
from s2bnn_tf.files import write_folder
from s2bnn_tf.progress import Progress
from s2bnn_tf.tflite import TFLiteEncoder

_FILES = Path(__file__).with_name("files")
_BUILDS = {"simd.js": True, "plain.js": False}  # the page loads one of them


def export_web(
    model: str | Path,
    output: str | Path,
    *,
    prototypes: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a network as a page of static files, which opens from a folder or any web server.

    Args:
        model: A `.tflite` from one picture to one vector, one map or both, such as those of
            `s2bnn convert`. The card beside it says which part of a picture it sees.
        output: The directory to write, which must not exist.
        prototypes: Classes that the page begins with, by `s2bnn-run enroll` or `s2bnn words`.
        progress: Called with a message at the start of each step.

    Returns:
        `sha256` (of the `.tflite`), `input` (height, width, channels), `size_bytes` (of all
        files), `loaded_bytes` (of those that a browser with vector instructions loads), and
        `files`, the size of each in bytes.

    Raises:
        ConfigError: If the output exists, or Zig is not installed or fails.
        DeviceError: If the file of classes cannot be read.
        ModelError: If the file is damaged, has an operation that C source cannot be made of, or is
            not the network of the classes.
        OSError: If the output cannot be written.
    """
    output, model = Path(output), Path(model)
    if output.exists() or output.is_symlink():
        raise ConfigError(f"{output} exists already; remove it, or choose another output.")
    compiler = find_compiler()
    encoder = TFLiteEncoder(model)
    begun = NO_CLASSES if prototypes is None else read_page_classes(prototypes, model)
    files = {path.name: path.read_text("utf-8") for path in sorted(_FILES.iterdir())}
    files["begun.js"] = as_script(begun)
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "source"
        card = export_c(model, source)
        settings = _settings(encoder, card)
        files["model.js"] = f"'use strict';\n\nconst MODEL = {json.dumps(settings, indent=2)};\n"
        number = settings["outputNumber"]
        exports = ["model_input", "model_run", f"model_output{f'_{number}' if number else ''}"]
        sources = [source / "model.c", source / "s2bnn_kernels.c"]
        for name, simd in _BUILDS.items():
            if progress is not None:
                progress(f"compiling {name}")
            module = compile_module(compiler, sources, exports, simd=simd)
            text = base64.b64encode(module).decode("ascii")
            files[name] = f"const NETWORK = '{text}';\n"
    write_folder(output, files)
    sizes = {name: len(text.encode()) for name, text in sorted(files.items())}
    return {
        "sha256": card["sha256"],
        "input": card["input"],
        "size_bytes": sum(sizes.values()),
        "loaded_bytes": sum(sizes.values()) - sizes["plain.js"],
        "files": sizes,
    }


def _settings(encoder: TFLiteEncoder, card: dict[str, Any]) -> dict[str, Any]:
    """What the page has to know about the network."""
    vectors = [i for i, (rows, columns, _) in enumerate(card["outputs"]) if rows * columns == 1]
    number = vectors[0] if vectors else 0
    return {
        "name": encoder.name,
        "space": encoder.space,
        "input": card["input"],
        "output": card["outputs"][number],
        "outputNumber": number,
        "kept": encoder.center_crop,
        "labels": encoder.labels,
    }
