"""PyTorch checkpoints imported as run directories: `s2bnn import-torch`."""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf import __version__
from s2bnn_tf.errors import CheckpointError, file_reason
from s2bnn_tf.files import sha256, write_json
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import CheckpointStore, LinearProbe, RunDirectory, save_encoder
from s2bnn_tf.torch_import.assembly import Imported, import_tensors
from s2bnn_tf.torch_import.files import find_tensors, read_safetensors


def import_torch(
    checkpoint: str | Path,
    output_dir: str | Path,
    *,
    architecture: str | None = None,
    step: int | None = None,
    data: str = "folder:/data/imagenet",
    image_size: int = 224,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a run directory from a PyTorch checkpoint.

    No code in the file is executed: PyTorch reads it with `weights_only=True`, and
    `.safetensors` files are read without PyTorch. Every tensor is either used once, or ignored
    for a reason that the record names.

    Args:
        checkpoint: A `.pth`, `.pth.tar`, `.pt` or `.safetensors` file from torchvision, MoCo,
            SwAV, SimSiam, DINO, Barlow Twins, lightly or S2-BNN.
        output_dir: The run directory to make.
        architecture: One of `ARCHITECTURES`; by default it is recognized from the file.
        step: For a ReActNet, 1 if its weights are real or 2 if they are binary, since the file
            does not say; defaults to 2.
        data: The data source of the run, as for `open_source`.
        image_size: Height and width of the images in pixels.
        progress: Called with a message at the start of each part of the work.

    Returns:
        The record in `imported.json`: file, SHA-256, architecture, and the tensors used and
        ignored.

    Raises:
        CheckpointError: If the file is missing, damaged or cannot be read safely, or a package
            is missing that reads it, or the directory holds a run already.
        ConfigError: If `architecture` or `step` is impossible for this file.
        ModelError: If the tensors belong to no known network, or do not fit it one by one.
    """
    path, run = Path(checkpoint), RunDirectory(output_dir)
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    if run.exists():
        raise CheckpointError(f"{run.path} already holds a run; choose another directory.")
    report = progress or _ignore
    report(f"Reading {path}")
    content = read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    tensors, beside = find_tensors(content, path)
    del content  # several gigabytes for a wide network
    report(f"Building the network of {len(tensors)} tensors")
    imported = import_tensors(
        tensors, architecture=architecture, step=step, data=data, image_size=image_size
    )
    record = {
        "file": path.name,
        "sha256": sha256(path),
        **imported.record,
        "beside_the_weights": beside,
        "created_by": f"s2bnn_tf {__version__}",
    }
    report(f"Writing {run.path}")
    _write(run, imported, record)
    return record


def _ignore(what: str, done: int = 0, total: int = 0) -> None:
    """Do nothing with the progress that is reported."""


def _read_torch(path: Path) -> Any:
    """Read a file in PyTorch's zip or legacy format, without executing any code in it.

    Raises:
        CheckpointError: If PyTorch is missing, or the file is of another kind, damaged, or
            wants to execute code.
    """
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            "Reading a PyTorch file needs PyTorch: pip install torch (or s2bnn_tf[torch]); "
            ".safetensors files are read without it."
        ) from error
    try:
        # DINO saves its command line in the file, as an object with plain attributes.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted:
            raise CheckpointError(
                f"{path} was not opened: it wants to execute code ({wanted[1]}), and only files "
                "of plain tensors are read. If you trust it, save its state dict alone elsewhere."
            ) from error
        raise CheckpointError(
            f"{path} is not a whole PyTorch checkpoint, or holds more than plain tensors."
        ) from error
    except Exception as error:  # a damaged file raises almost any exception
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{path} is not a whole PyTorch checkpoint ({reason[0][:200]})."
        ) from error


def _write(run: RunDirectory, imported: Imported, record: dict[str, Any]) -> None:
    """Write the run directory. The recipe comes last, since only a recipe makes it a run."""
    try:
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        save_encoder(imported.encoder, run)
        if imported.queue is not None:
            checkpoint = tf.train.Checkpoint(
                momentum_encoder=imported.momentum_encoder, queue=imported.queue
            )
            CheckpointStore(run.checkpoints).save(checkpoint, step=0)
        if imported.classifier is not None:
            _save_classifier(run, imported.classifier, record)
        write_json(run.imported_path, record)
    except (OSError, tf.errors.OpError) as error:
        raise CheckpointError(
            f"Cannot write to {run.path}: {file_reason(error)}; choose another directory."
        ) from error
    run.create(imported.config)


def _save_classifier(
    run: RunDirectory, classifier: tuple[NDArray[Any], NDArray[Any]], record: dict[str, Any]
) -> None:
    """Save the classifier where `s2bnn eval linear` does, for `s2bnn convert --head linear`."""
    kernel, bias = (np.asarray(value, np.float32) for value in classifier)
    names = tuple(str(index) for index in range(len(bias)))
    parameters = {"protocol": "imported", "file": record["file"]}
    LinearProbe(kernel, bias, names, parameters).save(run.eval_dir / "linear_probe.npz")
