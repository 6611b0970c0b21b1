"""Weights of Larq Zoo's QuickNets imported as run directories: `s2bnn import-zoo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf import __version__
from s2bnn_tf.backbones import QUICKNET_SIZES, Encoder, build_backbone
from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig
from s2bnn_tf.errors import CheckpointError, ModelError, file_reason
from s2bnn_tf.files import sha256, write_json
from s2bnn_tf.image_size import ImageSize, height_width
from s2bnn_tf.reading import open_regular
from s2bnn_tf.runs.linear_probe import LinearProbe
from s2bnn_tf.runs.run_directory import RunDirectory, save_encoder
from s2bnn_tf.runs.weights_files import count_weights

keras = tf.keras

Arrays = list[NDArray[np.float32]]


def import_zoo(
    weights: str | Path,
    output_dir: str | Path,
    *,
    data: str = "folder:/data/imagenet",
    image_size: ImageSize = 224,
) -> dict[str, Any]:
    """Make a run directory from the weights of a QuickNet of Larq Zoo.

    Larq Zoo itself is not needed. The size of the network is recognized from the shapes in the
    file, and every array is used. A classifier becomes the run's linear probe.

    Args:
        weights: An `.h5` file of `model.save_weights` or of Larq Zoo's releases, such as
            `quicknet_small_weights.h5`, with the classifier or without it.
        output_dir: The run directory to make.
        data: The data source of the run, as for `open_source`.
        image_size: The side of the images in pixels, or height and width.

    Returns:
        The record in `imported.json`: file, SHA-256, architecture, and the number of arrays and
        classes.

    Raises:
        CheckpointError: If the file is missing or damaged, or the directory holds a run already.
        ModelError: If the arrays are not those of a QuickNet, or the images are too small.
    """
    path, run = Path(weights), RunDirectory(output_dir)
    if run.exists():
        raise CheckpointError(f"{run.path} already holds a run; choose another directory.")
    arrays = _read(path)
    name, backbone = _matching(path, arrays, (*height_width(image_size), 3))
    count = len(backbone.weights)
    backbone.set_weights(arrays[:count])
    config = Config(
        data=DataConfig(source=data, image_size=image_size),
        student=StudentConfig(
            backbone=name, head="none", embedding_dim=int(backbone.output_shape[-1])
        ),
        objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0),
    )
    classifier = arrays[count:]
    record = {
        "file": path.name,
        "sha256": sha256(path),
        "architecture": name,
        "tensors_used": len(arrays),
        "classes": len(classifier[1]) if classifier else None,
        "created_by": f"s2bnn_tf {__version__}",
    }
    _write(run, Encoder(backbone), classifier, record)
    run.create(config)
    return record


def _write(run: RunDirectory, encoder: Encoder, classifier: Arrays, record: dict[str, Any]) -> None:
    """Write all but the recipe, which comes last, since only a recipe makes it a run."""
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        save_encoder(encoder, run)
        if classifier:
            kernel, bias = classifier
            names = tuple(str(index) for index in range(len(bias)))
            parameters = {"protocol": "imported", "file": record["file"]}
            run.eval_dir.mkdir(exist_ok=True)
            probe = LinearProbe(kernel, bias, names, parameters)
            probe.save(run.eval_dir / "linear_probe.npz")
        write_json(run.imported_path, record)
    except OSError as error:
        raise CheckpointError(
            f"Cannot write to {run.path}: {file_reason(error)}; choose another directory."
        ) from error


def _read(path: Path) -> Arrays:
    """The arrays of a weights file in Keras's older HDF5 layout, in the order of the layers."""
    try:
        count_weights(path)
        with open_regular(path) as file, h5py.File(file, "r") as content:
            root = content["model_weights"] if "model_weights" in content else content
            return [
                np.asarray(root[_text(layer)][_text(name)], np.float32)
                for layer in root.attrs["layer_names"]
                for name in root[_text(layer)].attrs["weight_names"]
            ]
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}.") from error
    except Exception as error:  # a damaged file can raise nearly anything inside of HDF5
        raise CheckpointError(
            f"{path} is no weights file of Keras with names of layers, as Larq Zoo publishes "
            "them; name a file such as quicknet_weights.h5, downloaded whole."
        ) from error


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _matching(
    path: Path, arrays: Arrays, input_shape: tuple[int, int, int]
) -> tuple[str, keras.Model]:
    """The QuickNet whose weights have the shapes of the file."""
    shapes = [array.shape for array in arrays]
    for name in QUICKNET_SIZES:
        backbone = build_backbone(name, input_shape)
        wanted = [tuple(weight.shape) for weight in backbone.weights]
        features = int(backbone.output_shape[-1])
        left = shapes[len(wanted) :]
        is_classifier = len(left) == 2 and left[0] == (features, *left[1]) and len(left[1]) == 1
        if shapes[: len(wanted)] == wanted and (not left or is_classifier):
            return name, backbone
    raise ModelError(
        f"The {len(arrays)} arrays in {path} are not those of {', '.join(QUICKNET_SIZES)}: only "
        "these networks of Larq Zoo can be imported."
    )
