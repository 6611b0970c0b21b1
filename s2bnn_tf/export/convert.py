"""Convert an encoder, verify the file, and write it with its card: `s2bnn convert`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.collecting import few_collections
from s2bnn_tf.data import labeled_dataset, open_source
from s2bnn_tf.errors import ConfigError, DataError, ModelError, UserError, describe_os_error
from s2bnn_tf.export.card import describe_model, describe_rounding
from s2bnn_tf.export.deployment import Probe, deployment_model
from s2bnn_tf.export.fold import unfolded_shifts
from s2bnn_tf.export.freeze import in_float32
from s2bnn_tf.export.helper import convert_in_helper, needs_helper
from s2bnn_tf.export.int8 import (
    CALIBRATION_IMAGES,
    check_real_valued,
    convert_to_int8,
    verify_int8,
)
from s2bnn_tf.export.lce import convert_model
from s2bnn_tf.export.metadata import add_metadata
from s2bnn_tf.export.quantize_head import round_to_8_bits, store_8_bit_weights, with_rounded_head
from s2bnn_tf.export.space import ends_in_teachers_space, space_of_run, with_space
from s2bnn_tf.export.verify import verify
from s2bnn_tf.files import replaced, write_json
from s2bnn_tf.image_size import ImageSize, height_width
from s2bnn_tf.progress import Progress, no_progress
from s2bnn_tf.runs import LinearProbe, RunDirectory, load_encoder
from s2bnn_tf.tflite import OUTPUT_NAMES

keras = tf.keras

# Kernel (C, K), bias (K,) and the K class names of a linear classifier.
NamedProbe = tuple[NDArray[np.float32], NDArray[np.float32], tuple[str, ...]]

# The number of images to verify on. An image of 224 pixels takes about a second.
_IMAGES_SMALL, _IMAGES_LARGE = 64, 16
_SMALL = 64 * 64  # pixels


def convert_run(
    run: str | Path,
    output: str | Path,
    *,
    head: str = "none",
    fold: bool = True,
    head_bits: int = 8,
    map_stride: int | None = None,
    data: str | None = None,
    int8: bool = False,
    calibrate: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Convert the encoder of a run directory, and verify it on images of its data source.

    Where Larq Compute Engine is not installed, this is done in an environment that has it, which
    is made once; see `s2bnn_tf.export.helper`.

    Args:
        run: A run directory.
        output: The `.tflite` to write. Its card is written beside it.
        head: `"none"`, `"projection"`, `"linear"` (the classifier in eval/linear_probe.npz),
            `"map"`, `"features+map"`, `"teacher"` (the trained projection, whose vectors can be
            compared with the teacher's) or `"teacher+map"`.
        fold: Whether to fold shifts; see `deployment_model`.
        head_bits: The bits per weight of the head, 8 or 32; see `export_encoder`.
        map_stride: The pixels of the image to one place of the map; see `export_encoder`.
        data: The images to verify on, as for `open_source`. Defaults to the training source.
        int8: Whether to quantize a real-valued student to int8; see `s2bnn_tf.export.int8`.
        calibrate: The images to measure its ranges on, as for `open_source`. Defaults to the
            training images.
        progress: Called with a message at the start of each step.

    Returns:
        The card; see `export_encoder`.

    Raises:
        CheckpointError: If the run, its weights or its classifier are missing or damaged.
        ConfigError: If the head is the teacher's, and no teacher's features were learned; or if
            there are calibration images without `int8`.
        DataError: If there are no images to verify on.
        DeviceError: If there is no Larq Compute Engine, and no environment can be made for it.
        ModelError: If the encoder cannot be converted, or the file cannot be written.
        ParityError: If the file does not compute what the encoder computes.
    """
    directory = RunDirectory(run)
    settings = directory.config.data
    if needs_helper():
        options = {"head": head, "fold": fold, "head_bits": head_bits, "map_stride": map_stride}
        options |= {"data": data, "int8": int8, "calibrate": calibrate}
        return convert_in_helper(Path(run), Path(output), options, progress or no_progress)
    if calibrate is not None and not int8:
        raise ConfigError("--calibrate names the images that --int8 needs; add --int8.")
    probe: NamedProbe | None = None
    if head == "linear":
        found = LinearProbe.load(directory.eval_dir / "linear_probe.npz")
        probe = found.kernel, found.bias, found.class_names
    space = space_of_run(directory) if ends_in_teachers_space(head) else None
    seen = settings.image_size, settings.center_crop
    # Keras counts the layers without a name, and the file's tensors are named after them. The file
    # must not depend on what this process has built before: its digest names its space.
    keras.backend.reset_uids()
    return export_encoder(
        load_encoder(run),
        Path(output),
        image_size=settings.image_size,
        center_crop=settings.center_crop,
        head=head,
        fold=fold,
        head_bits=head_bits,
        map_stride=map_stride,
        probe=probe,
        images=sample_images(data or settings.source, *seen, channels=settings.channels),
        calibration=sample_images(
            calibrate or settings.source,
            *seen,
            CALIBRATION_IMAGES,
            channels=settings.channels,
            split="train",
            option="--calibrate" if calibrate else "--data",
        )
        if int8
        else None,
        source=settings.source,
        space=space,
        progress=progress,
    )


def export_encoder(
    encoder: Encoder,
    output: Path,
    *,
    image_size: ImageSize,
    center_crop: float,
    images: NDArray[np.float32],
    calibration: NDArray[np.float32] | None = None,
    head: str = "none",
    fold: bool = True,
    head_bits: int = 8,
    map_stride: int | None = None,
    probe: NamedProbe | None = None,
    source: str | None = None,
    space: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Convert an encoder, verify the file, and write it with its JSON card.

    The file and its card appear whole, after verification, or not at all.

    Args:
        encoder: A model from normalized images to embeddings.
        output: The `.tflite` to write. The card has the same name, ending in `.json`.
        image_size: The side of the input in pixels, or its height and width.
        center_crop: The fraction of the shorter side that evaluation keeps, for the card.
        images: Real images to verify on, 0-255, `(N, H, W, C)`.
        calibration: Real images, likewise, to quantize a real-valued encoder to int8 with. The
            head's weights then have 8 bits, too.
        head: A key of `OUTPUT_NAMES`; see `deployment_model`.
        fold: Whether to fold shifts; see `deployment_model`.
        head_bits: 8 rounds the weights of the head's dense layers to 8 bits, and the card
            reports how the outputs change; 32 leaves them as they are.
        map_stride: The pixels of the image to one place of the map, for the heads that have
            one. Defaults to half of those of the network's last map.
        probe: The kernel, bias and class names of the classifier, for `"linear"`.
        source: The data source that the encoder was trained on, for the card.
        space: The name of the space of the vectors, for the card and the file; defaults to the
            SHA-256 of the file.
        progress: Called with a message at the start of each step.

    Returns:
        The card: input, output, head, labels, sizes, operations, the shifts that were not
        folded, parity, SHA-256.

    Raises:
        ConfigError: If the name of the output, the head or the stride of the map is not possible.
        CheckpointError: If the classifier is missing or does not fit.
        ModelError: If the encoder cannot be converted, or the file cannot be written.
        ParityError: If the file does not compute what the encoder computes.
    """
    report = progress or no_progress
    if output.suffix != ".tflite":
        raise ConfigError(f"The output must be named *.tflite, not {output.name!r}.")
    weights: Probe | None = None if probe is None else (probe[0], probe[1])
    if map_stride is not None and "map" not in OUTPUT_NAMES.get(head, ()):
        raise ConfigError("A stride of the map needs --head map, features+map or teacher+map.")
    if calibration is not None:
        check_real_valued(encoder, head)
        head_bits = 32  # nothing is rounded before all is
    with (
        _writing(),
        few_collections(),
        replaced(output, output.with_suffix(".json")) as (model_file, card_file),
    ):
        exact = encoder, weights = in_float32(encoder), weights
        if head_bits == 8:
            encoder = with_rounded_head(encoder)
            weights = weights and (round_to_8_bits(weights[0]), weights[1])
        report("Converting with Larq Compute Engine" if calibration is None else "Calibrating")
        deployed = deployment_model(
            encoder, image_size, head, weights, fold=fold, map_stride=map_stride
        )
        unfolded = unfolded_shifts(deployed.get_layer(encoder.backbone.name)) if fold else {}
        for shift, reason in unfolded.items():
            report(f"Not folded: {shift}, because {reason}")
        model = _converted(deployed, head, head_bits, calibration)
        if space is not None:
            model = with_space(model, space)
        labels = list(probe[2]) if probe is not None and head == "linear" else None
        model = add_metadata(model, labels=labels)
        report(f"Verifying {len(model) / 1024:.0f} KiB on {len(images)} images")
        options: dict[str, Any] = {"head": head, "probe": weights, "map_stride": map_stride}
        if calibration is None:
            parity = verify(encoder, model, images, deployed=deployed, **options)
        else:
            parity = verify_int8(encoder, model, images, **options)
        card = describe_model(
            model, parity, head=head, center_crop=center_crop, source=source, space=space
        )
        card["not_folded"] = unfolded
        card["weights"] = "float32 and bits" if calibration is None else "int8"
        if head not in ("none", "map", "features+map") and head_bits == 8:
            card["head_rounding"] = describe_rounding(exact, (encoder, weights), images, head)
        card["labels"] = labels
        model_file.write_bytes(model)
        write_json(card_file, card)
    return card


def _converted(
    deployed: keras.Model, head: str, head_bits: int, calibration: NDArray[np.float32] | None
) -> bytes:
    if calibration is not None:
        return convert_to_int8(deployed, calibration, OUTPUT_NAMES[head][0])
    model = convert_model(deployed, output_name=OUTPUT_NAMES[head])
    return store_8_bit_weights(model) if head_bits == 8 else model


def sample_images(
    source: str,
    image_size: ImageSize,
    center_crop: float,
    count: int | None = None,
    *,
    channels: int = 3,
    split: str = "test",
    option: str = "--data",
) -> NDArray[np.float32]:
    """Read images spread evenly over a split of a source, or over its only split.

    Args:
        source: A data source, as for `open_source`.
        image_size: The side of the images in pixels, or their height H and width W.
        center_crop: The fraction of the shorter side to keep.
        count: The number of images N. Defaults to 64, or to 16 above 64 by 64 pixels.
        channels: The number of channels C: 3, or 1 for gray images.
        split: `"test"` or `"train"`, if the source has both.
        option: The option of the command line that names the source, for messages.

    Returns:
        Images 0-255, float32 `(N, H, W, C)`; fewer if the source has fewer.

    Raises:
        DataError: If the source cannot be opened, or none of its images can be read.
    """
    try:
        images = open_source(source, split)
    except UserError:
        try:
            images = open_source(source, "train" if split == "test" else "test")
        except UserError as error:
            raise DataError(
                f"{str(error).rstrip('.')}; or name other images with {option}."
            ) from error
    if count is None:
        small = math.prod(height_width(image_size)) <= _SMALL
        count = _IMAGES_SMALL if small else _IMAGES_LARGE
    chosen = np.unique(np.linspace(0, len(images) - 1, count).astype(int))
    dataset = labeled_dataset(
        images.select(chosen),
        image_size=image_size,
        batch_size=count,
        center_crop=center_crop,
        channels=channels,
    )
    batches = [batch for batch, _ in dataset.as_numpy_iterator()]
    if not batches:
        raise DataError(f"None of the images of {source} can be read: name others with {option}.")
    return np.concatenate(batches)


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(describe_os_error(error)) from error
