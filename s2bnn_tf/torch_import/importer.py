"""PyTorch checkpoints imported as run directories: `s2bnn import-torch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf import __version__
from s2bnn_tf.errors import CheckpointError, file_reason
from s2bnn_tf.files import sha256, write_json
from s2bnn_tf.image_size import ImageSize
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import CheckpointStore, LinearProbe, RunDirectory, save_encoder
from s2bnn_tf.torch_import.assembly import Imported, import_tensors
from s2bnn_tf.torch_import.files import read_checkpoint
from s2bnn_tf.torch_import.joint_resnet import import_joint_resnet, is_joint_resnet
from s2bnn_tf.torch_import.joint_vit import import_joint, is_joint


def import_torch(
    checkpoint: str | Path,
    output_dir: str | Path,
    *,
    architecture: str | None = None,
    step: int | None = None,
    prefix: str | None = None,
    ema: bool = False,
    data: str = "folder:/data/imagenet",
    image_size: ImageSize = 224,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a run directory from a PyTorch checkpoint.

    No code in the file is executed: PyTorch reads it with `weights_only=True`, and
    `.safetensors` files are read without PyTorch. The network is found by its structure, below
    any prefix; of a CLIP or a SigLIP, it is the image tower. Every tensor is either used once, or
    ignored for a reason that the record names.

    Args:
        checkpoint: A `.pth`, `.pth.tar`, `.pt` or `.safetensors` file from torchvision, MoCo,
            SwAV, SimSiam, DINO, DINOv2, Barlow Twins, CLIP, SigLIP, lightly, Hugging Face or
            S2-BNN.
        output_dir: The run directory to make.
        architecture: One of `ARCHITECTURES`; by default it is recognized from the file.
        step: For a ReActNet, 1 if its weights are real or 2 if they are binary, since the file
            does not say; defaults to 2.
        prefix: The beginning of the names of the network's tensors, for a file with more than
            one network; what wrappers add, such as `module.`, may be left out.
        ema: Whether to take the averaged weights, such as `model_ema`, if the file has them.
        data: The data source of the run, as for `open_source`.
        image_size: The side of the images in pixels, or height and width.
        progress: Called with a message at the start of each part of the work.

    Returns:
        The record in `imported.json`: file, SHA-256, architecture, and the tensors used and
        ignored.

    Raises:
        CheckpointError: If the file is missing, damaged or cannot be read safely, or a package
            is missing that reads it, or the directory holds a run already.
        ConfigError: If `architecture`, `step`, `prefix` or `ema` is impossible for this file.
        ModelError: If the tensors belong to no known network, to more than one, or do not fit it
            one by one.
    """
    path, run = Path(checkpoint), RunDirectory(output_dir)
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    if run.exists():
        raise CheckpointError(f"{run.path} already holds a run; choose another directory.")
    report = progress or _ignore
    report(f"Reading {path}")
    content = read_checkpoint(path, ema=ema)
    report(f"Building the network of {len(content.tensors)} tensors")
    options: dict[str, Any] = {
        "architecture": architecture,
        "step": step,
        "data": data,
        "image_size": image_size,
    }
    if prefix is None and is_joint_resnet(content.tensors):
        imported = import_joint_resnet(content.tensors, **options)
    elif prefix is None and is_joint(content.tensors):
        imported = import_joint(content.tensors, **options)
    else:
        imported = import_tensors(content.tensors, prefix=prefix, **options)
    record = {
        "file": path.name,
        "sha256": sha256(path),
        **imported.record,
        "beside_the_weights": content.beside,
        "averaged_weights": content.averages,
        "averaged_weights_used": ema,
        "created_by": f"s2bnn_tf {__version__}",
    }
    report(f"Writing {run.path}")
    _write(run, imported, record)
    return record


def _ignore(what: str, done: int = 0, total: int = 0) -> None:
    """Do nothing with the progress that is reported."""


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
