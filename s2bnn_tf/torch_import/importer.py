"""PyTorch checkpoints become run directories: `s2bnn import-torch`."""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from s2bnn_tf import __version__
from s2bnn_tf.errors import UserError, file_reason
from s2bnn_tf.files import sha256, write_json
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
    progress: Callable[[str], None] | None = None,
) -> dict:
    """Make a run directory of a checkpoint that PyTorch wrote.

    Nothing in the file is executed: PyTorch reads it with `weights_only=True`, and
    `.safetensors` files are read without PyTorch. Every tensor is used once, or
    ignored for a reason that the result tells.

    Args:
        checkpoint: A `.pth`, `.pth.tar`, `.pt` or `.safetensors` file of torchvision, MoCo,
            SwAV, SimSiam, DINO, Barlow Twins, lightly or S2-BNN.
        output_dir: The run directory to make.
        architecture: One of `ARCHITECTURES`; recognized from the file unless given.
        step: 1 or 2, for a ReActNet: whether its weights are real or binary. The file does
            not tell; 2 unless given.
        data: What the run's images are, as for `open_source`.
        image_size: Pixels of an image.
        progress: Told what is being done.

    Returns:
        What `imported.json` holds: file, SHA-256, architecture, what was used and ignored.

    Raises:
        UserError: if the file cannot be read safely, is of another network, does not fit
            it tensor by tensor, or the directory holds a run already.
    """
    path, run = Path(checkpoint), RunDirectory(output_dir)
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    if run.exists():
        raise UserError(f"{run.path} already holds a run; choose another directory.")
    tell = progress or (lambda message: None)
    tell(f"Reading {path}")
    content = read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    tensors, beside = find_tensors(content, path)
    del content  # gigabytes, of a wide network
    tell(f"Building the network that {len(tensors)} tensors are of")
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
    tell(f"Writing {run.path}")
    _write(run, imported, record)
    return record


def _read_torch(path: Path) -> Any:
    """What PyTorch reads without executing anything: zip and legacy format alike.

    Raises:
        UserError: if PyTorch is missing, the file is none of its own or damaged, or wants
            to execute code.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError(
            "Reading a PyTorch file needs PyTorch: pip install torch (or s2bnn_tf[torch]); "
            ".safetensors files are read without it."
        ) from error
    try:
        # DINO keeps its command line in the file, an object with plain attributes.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted:
            raise UserError(
                f"{path} was not opened: it wants to execute code ({wanted[1]}), and only files "
                "of plain tensors are read. If you trust it, save its state dict alone elsewhere."
            ) from error
        raise UserError(
            f"{path} is not a whole PyTorch checkpoint, or holds more than plain tensors."
        ) from error
    except Exception as error:  # of a damaged file, almost any
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{path} is not a whole PyTorch checkpoint ({reason[0][:200]}).") from error


def _write(run: RunDirectory, imported: Imported, record: dict[str, Any]) -> None:
    """The run directory; its recipe last, so that a part of one is no run."""
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
        raise UserError(
            f"Cannot write to {run.path}: {file_reason(error)}; choose another directory."
        ) from error
    run.create(imported.config)


def _save_classifier(run: RunDirectory, classifier: tuple, record: dict[str, Any]) -> None:
    """As `s2bnn eval linear` does, for `s2bnn convert --head linear`."""
    kernel, bias = (np.asarray(value, np.float32) for value in classifier)
    names = tuple(str(index) for index in range(len(bias)))
    parameters = {"protocol": "imported", "file": record["file"]}
    LinearProbe(kernel, bias, names, parameters, {}).save(run.eval_dir / "linear_probe.npz")
