"""Run directories: the files that training writes, and the encoder that is loaded from them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import (
    DEFAULT_HEAD,
    Encoder,
    backbone_plugin,
    build_backbone,
    projection_head,
)
from s2bnn_tf.config import Config, StudentConfig, dump_config, load_config
from s2bnn_tf.data import normalize, source_plugin
from s2bnn_tf.errors import CheckpointError, ConfigError
from s2bnn_tf.files import refuse_links, replace_file, write_text
from s2bnn_tf.image_size import ImageSize, Shape, height_width
from s2bnn_tf.layers import is_binary, leaf_layers
from s2bnn_tf.objectives import objective_plugin
from s2bnn_tf.runs.keras_backbone import build_keras_backbone, is_keras_file
from s2bnn_tf.runs.weights_files import count_weights


def locate_run(path: str | Path) -> Path:
    """Return the run directory that a path means: of the directory of a fit, its student."""
    path = Path(path)
    is_fit = (path / "plan.json").is_file() and not (path / "config.yaml").exists()
    return path / "student" if is_fit and (path / "student").is_dir() else path


class RunDirectory:
    """The files of one run, by name.

    `config.yaml` `metrics.jsonl` `checkpoints/` `encoder.weights.h5` `eval/*.json` `report.html`,
    and `backbone.keras` where the student is the user's own network.

    Args:
        path: The directory, which need not exist yet. It may be a symbolic link; its parts may
            not. The directory of a fit means that of its student.

    Raises:
        CheckpointError: If a part of it is a symbolic link.
    """

    def __init__(self, path: str | Path):
        self.path = locate_run(path)
        self.config_path = self.path / "config.yaml"
        self.metrics_path = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.weights_path = self.path / "encoder.weights.h5"
        self.backbone_path = self.path / "backbone.keras"
        self.eval_dir = self.path / "eval"
        self.report_path = self.path / "report.html"
        self.tensorboard = self.path / "tensorboard"
        self.mlflow = self.path / "mlflow"
        self.wandb = self.path / "wandb"
        self.imported_path = self.path / "imported.json"  # where imported weights come from
        self.origin_path = self.path / "origin.json"  # the published network behind it
        self.targets = self.path / "targets"  # what the teacher has computed before training
        self.teacher_path = self.path / "teacher.json"  # the space of its vectors
        self.lock_path = self.path / ".lock"
        self._config: Config | None = None
        refuse_links(*self._parts())

    def _parts(self) -> list[Path]:
        files = [self.config_path, self.metrics_path, self.weights_path, self.backbone_path]
        folders = [self.checkpoints, self.tensorboard, self.mlflow, self.wandb, self.eval_dir]
        folders.append(self.targets)
        below = [self.eval_dir / "features", self.eval_dir / "transfer"]
        files += [self.report_path, self.imported_path, self.origin_path, self.lock_path]
        files += [self.teacher_path]
        return [*files, *folders, *below]

    def exists(self) -> bool:
        """Whether a run was started in this directory."""
        return self.config_path.is_file()

    def create(self, config: Config) -> None:
        """Make the directory and write the recipe into it, with the plugins that it needs.

        Raises:
            CheckpointError: If it cannot be written.
        """
        config = replace(config, plugins=plugins_of(config))
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            if is_keras_file(config.student.backbone) and not self.backbone_path.exists():
                source = config.student.backbone
                replace_file(self.backbone_path, lambda path: shutil.copyfile(source, path))
            write_text(self.config_path, dump_config(config))
        except OSError as error:
            raise CheckpointError(
                f"Cannot write to {self.path}: {error.strerror}; choose another --output-dir."
            ) from error
        self._config = config

    @property
    def config(self) -> Config:
        """The recipe of the run, read once.

        A student that is a file means the copy in this directory, which may have been moved.

        Raises:
            CheckpointError: If there is no run in this directory.
            ConfigError: If the recipe is damaged.
        """
        if self._config is None:
            if not self.exists():
                raise CheckpointError(
                    f"{self.path} is not a run directory (it has no config.yaml); "
                    "name the --output-dir of an `s2bnn train`."
                )
            self._config = load_config(self.config_path)
        if self.backbone_path.is_file():
            own = replace(self._config.student, backbone=str(self.backbone_path))
            return replace(self._config, student=own)
        return self._config


def plugins_of(config: Config) -> tuple[str, ...]:
    """The plugins that a recipe names, and those that have registered what it names."""
    found = (
        backbone_plugin(config.student.backbone),
        objective_plugin(config.objective.custom),
        source_plugin(config.data.source),
    )
    return tuple(dict.fromkeys((*config.plugins, *(plugin for plugin in found if plugin))))


def build_encoder(config: Config, *, image_size: ImageSize | None = None) -> Encoder:
    """Build the student of a recipe, with fresh weights or, from a `.keras` file, those in it.

    Args:
        config: The recipe.
        image_size: The side of the images in pixels, or height and width; defaults to the
            recipe's.

    Raises:
        ConfigError: If the backbone does not take the options, or the head does not fit it.
        CheckpointError: If the backbone is a `.keras` file that cannot be read.
        ModelError: If the images are too small for the backbone.
    """
    shape = (*height_width(image_size or config.data.image_size), config.data.channels)
    student = config.student
    backbone = _build_backbone(student, shape)
    encoder = Encoder(backbone, _build_head(backbone, student), name="encoder")
    if not encoder.built:
        encoder.build((None, *shape))
    return encoder


def _build_backbone(student: StudentConfig, input_shape: tuple[int, int, int]) -> tf.keras.Model:
    if is_keras_file(student.backbone):
        return build_keras_backbone(student, input_shape)
    return build_backbone(
        student.backbone,
        input_shape,
        stem=student.stem,
        width=student.width,
        binarize_weights=student.binarize_weights,
        kernel_initializer=student.kernel_initializer,
        reverse_input=student.reverse_input,
        patch_size=student.patch_size,
        registers=student.registers,
        position_grid=student.position_grid,
        layer_scale=student.layer_scale,
    )


def _build_head(backbone: tf.keras.Model, student: StudentConfig) -> tf.keras.Model | None:
    features = int(backbone.output_shape[-1])
    if student.head != "none":
        return projection_head(
            features,
            student.embedding_dim,
            layers=student.head or DEFAULT_HEAD,
            hidden_dim=student.hidden_dim,
        )
    if student.embedding_dim != features:
        raise ConfigError(
            f"Without a head the embedding is the {features} features; add "
            f"--set student.embedding_dim={features}."
        )
    return None


def save_encoder(encoder: Encoder, run: RunDirectory) -> None:
    """Write `encoder.weights.h5` completely or not at all."""
    replace_file(run.weights_path, encoder.save_weights)


def leave_untrained(config: Config, run_dir: str | Path) -> RunDirectory:
    """Make a run directory of a student with its initial, random weights: the floor to beat."""
    run = RunDirectory(run_dir)
    run.create(config)
    save_encoder(build_encoder(config), run)
    return run


def load_encoder(run_dir: str | Path, *, image_size: ImageSize | None = None) -> Encoder:
    """Load the trained encoder of a run.

    Args:
        run_dir: A run directory.
        image_size: The side of the images in pixels, or height and width; defaults to the
            recipe's. The weights do not depend on it.

    Returns:
        A Keras model from normalized images `(B, H, W, C)` to embeddings `(B, D)` of
        unit length; its `.backbone` gives the features `(B, F)`.

    Raises:
        CheckpointError: If this is no run directory, or the run has no weights yet, or they
            belong to another network.
        ModelError: If the images are too small for the backbone.
    """
    run = RunDirectory(run_dir)
    encoder = build_encoder(run.config, image_size=image_size)
    if not run.weights_path.is_file():
        raise CheckpointError(
            f"{run.path} has no {run.weights_path.name} yet; "
            f"finish the run: s2bnn train {run.config_path} --output-dir {run.path}."
        )
    try:
        count_weights(run.weights_path)
        encoder.load_weights(run.weights_path)
    except Exception as error:  # a damaged file can raise nearly anything inside of HDF5
        raise CheckpointError(
            f"{run.weights_path} does not hold the weights of the {run.config.student.backbone} "
            f"that {run.config_path} describes; restore the file, or train again."
        ) from error
    return encoder


class LoadedEncoder:
    """An encoder in Keras, ready for evaluation; it has the attributes of a `TFLiteEncoder`.

    Attributes:
        name: Name of the run directory.
        path: The run directory.
        image_size: The side of the input in pixels, or its height and width.
        channels: The channels of the input: 3 for RGB, 1 for gray.
        center_crop: Fraction of the shorter side that evaluation keeps.
        feature_dim: Number of features F.
        data_source: The data source it was trained on.
        size_bytes: Size of the backbone's weights, at 1 bit each where they are binary, else in
            float32. The head serves training alone.
        head: Always None, since `features` returns the features of the backbone.
        labels: Always None, since it does not classify.
        runtime: Always None, since Keras runs it.
        preparation: Always "", since the recipe holds all of it.
        encoder: The Keras model; a `TFLiteEncoder` has none.

    Args:
        encoder: A model from normalized images to embeddings.
        config: The recipe that it was built from.
        path: Its run directory.
    """

    def __init__(self, encoder: Encoder, config: Config, path: str | Path):
        self.encoder = encoder
        self.path = Path(path)
        self.name = self.path.resolve().name
        self.image_size: ImageSize = config.data.image_size
        self.channels: int = config.data.channels
        self.center_crop = config.data.center_crop
        self.feature_dim = int(encoder.backbone.output_shape[-1])
        self.data_source: str | None = config.data.source
        self.size_bytes: int = _size(encoder.backbone)
        self.head: str | None = None
        self.labels: list[str] | None = None
        self.runtime: str | None = None
        self.preparation = ""
        self._features = _on_images(encoder.backbone, config.data.shape)

    @classmethod
    def open(cls, run_dir: str | Path) -> LoadedEncoder:
        """Open the encoder of a run directory; it raises the errors of `load_encoder`."""
        run = RunDirectory(run_dir)
        return cls(load_encoder(run.path), run.config, run.path)

    def features(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Compute features `(B, F)` from images 0-255 `(B, H, W, C)`."""
        features: NDArray[np.float32] = self._features(tf.cast(images, tf.float32)).numpy()
        return features

    def embed(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Compute embeddings `(B, D)` of unit length from images 0-255 `(B, H, W, C)`."""
        return self.project(self.features(images))

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute embeddings `(B, D)` of unit length from the features `(B, F)`."""
        embeddings: NDArray[np.float32] = self.encoder.project(tf.constant(features)).numpy()
        return embeddings


def _size(network: tf.keras.Model) -> int:
    kernels = [layer.kernel for layer in leaf_layers(network) if is_binary(layer)]
    bits = sum(int(np.prod(kernel.shape)) for kernel in kernels)
    return 4 * (int(network.count_params()) - bits) + math.ceil(bits / 8)


def _on_images(model: tf.keras.Model, shape: Shape) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compile a model, with the normalization of images 0-255 before it."""

    def call(images: tf.Tensor) -> tf.Tensor:
        return model(normalize(images), training=False)

    compiled: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        call, input_signature=[tf.TensorSpec((None, *shape), tf.float32)]
    )
    return compiled
