"""Run directories: what a training run leaves behind, and how an encoder comes back from it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from s2bnn_tf.backbones import Encoder, build_backbone, projection_head
from s2bnn_tf.config import Config, StudentConfig, dump_config, load_config
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import UserError
from s2bnn_tf.files import replace_file, write_text


class RunDirectory:
    """The files of one run, by name.

    `config.yaml` `metrics.jsonl` `checkpoints/` `encoder.weights.h5` `eval/*.json` `report.html`

    Args:
        path: The directory. It need not exist yet.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config_path = self.path / "config.yaml"
        self.metrics_path = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.weights_path = self.path / "encoder.weights.h5"
        self.eval_dir = self.path / "eval"
        self.report_path = self.path / "report.html"
        self.tensorboard = self.path / "tensorboard"
        self.imported_path = self.path / "imported.json"  # where the weights come from

    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.config_path.is_file()

    def create(self, config: Config) -> None:
        """Make the directory and write the recipe into it.

        Raises:
            UserError: if it cannot be written.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            write_text(self.config_path, dump_config(config))
            self.__dict__["config"] = config
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.path}: {error.strerror}; choose another --output-dir."
            ) from error

    @cached_property
    def config(self) -> Config:
        """The recipe of the run.

        Raises:
            UserError: if there is no run here.
        """
        if not self.exists():
            raise UserError(
                f"{self.path} is not a run directory (it has no config.yaml); "
                "name the --output-dir of an `s2bnn train`."
            )
        return load_config(self.config_path)


def build_encoder(config: Config, *, image_size: int | None = None) -> Encoder:
    """The student of a recipe, with fresh weights.

    Args:
        config: The recipe.
        image_size: Pixels; that of the recipe unless given.

    Raises:
        UserError: if the backbone does not take the options or the image size.
    """
    size = image_size or config.data.image_size
    student = config.student
    backbone = build_backbone(
        student.backbone,
        (size, size, 3),
        stem=student.stem,
        width=student.width,
        binarize_weights=student.binarize_weights,
        kernel_initializer=student.kernel_initializer,
        reverse_input=student.reverse_input,
    )
    encoder = Encoder(backbone, _build_head(backbone, student), name="encoder")
    if not encoder.built:
        encoder.build((None, size, size, 3))
    return encoder


def _build_head(backbone: tf.keras.Model, student: StudentConfig) -> tf.keras.Model | None:
    features = int(backbone.output_shape[-1])
    if student.head != "none":
        return projection_head(
            features, student.embedding_dim, layers=student.head, hidden_dim=student.hidden_dim
        )
    if student.embedding_dim != features:
        raise UserError(
            f"Without a head the embedding is the {features} features; add "
            f"--set student.embedding_dim={features}."
        )
    return None


def save_encoder(encoder: Encoder, run: RunDirectory) -> None:
    """Write `encoder.weights.h5`: whole, or not at all."""
    replace_file(run.weights_path, encoder.save_weights)


def leave_untrained(config: Config, run_dir: str | Path) -> RunDirectory:
    """A run directory of a student with its first, random weights: the floor to beat."""
    run = RunDirectory(run_dir)
    run.create(config)
    save_encoder(build_encoder(config), run)
    return run


def load_encoder(run_dir: str | Path, *, image_size: int | None = None) -> Encoder:
    """The trained encoder of a run.

    Args:
        run_dir: A run directory.
        image_size: Pixels; that of the recipe unless given. Weights do not depend on it.

    Returns:
        A Keras model, normalized images `(B, H, W, 3)` to embeddings `(B, D)` of
        unit length; its `.backbone` gives the features `(B, C)`.

    Raises:
        UserError: if this is no run directory, the run has no weights yet, or
            they are of another network.
    """
    run = RunDirectory(run_dir)
    encoder = build_encoder(run.config, image_size=image_size)
    if not run.weights_path.is_file():
        raise UserError(
            f"{run.path} has no {run.weights_path.name} yet; "
            f"finish the run: s2bnn train {run.config_path} --output-dir {run.path}."
        )
    try:
        encoder.load_weights(run.weights_path)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(
            f"{run.weights_path} does not hold the weights of the {run.config.student.backbone} "
            f"that {run.config_path} describes; restore the file, or train again."
        ) from error
    return encoder


class LoadedEncoder:
    """An encoder, in memory or of a run directory, made ready for evaluation.

    Attributes:
        name: Name of the run directory.
        path: The run directory.
        image_size: Pixels of the square input.
        center_crop: Fraction of the shorter side that evaluation keeps.
        data_source: What it was trained on.
        feature_dim: Channels C of the features.
        size_bytes: Size of its weights in float32.
        head: None; a `.tflite` has one.

    Args:
        encoder: Normalized images to embeddings.
        config: The recipe it was built from.
        path: Its run directory.
    """

    head = None

    def __init__(self, encoder: Encoder, config: Config, path: str | Path):
        self.encoder = encoder
        self.path = Path(path)
        self.name = self.path.resolve().name
        self.image_size = config.data.image_size
        self.center_crop = config.data.center_crop
        self.data_source = config.data.source
        self.feature_dim = int(encoder.backbone.output_shape[-1])
        self.size_bytes = 4 * encoder.count_params()
        self.labels: list[str] | None = None
        self.runtime: str | None = None
        self._features = _on_images(encoder.backbone, self.image_size)

    @classmethod
    def open(cls, run_dir: str | Path) -> LoadedEncoder:
        """Open the encoder of a run directory; errors as of `load_encoder`."""
        return cls(load_encoder(run_dir), RunDirectory(run_dir).config, run_dir)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Pooled backbone features `(B, C)` of RGB images 0-255 `(B, S, S, 3)`."""
        return self._features(tf.cast(images, tf.float32)).numpy()

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embeddings `(B, D)` of unit length of RGB images 0-255 `(B, S, S, 3)`."""
        return self.project(self.features(images))

    def project(self, features: np.ndarray) -> np.ndarray:
        """Embeddings `(B, D)` of unit length of what `features` gave, `(B, C)`."""
        return self.encoder.project(tf.constant(features)).numpy()


def _on_images(model: tf.keras.Model, size: int) -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.function(input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32)])
    def call(images: tf.Tensor) -> tf.Tensor:
        return model(normalize(images), training=False)

    return call
