"""Convert, verify, and put file and card in place: what `s2bnn convert` does."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from s2bnn_tf import __version__
from s2bnn_tf.backbones import Encoder
from s2bnn_tf.data import labeled_dataset, open_source
from s2bnn_tf.errors import UserError
from s2bnn_tf.export.deployment import Probe, deployment_model, in_float32
from s2bnn_tf.export.fold import shifts_left
from s2bnn_tf.export.lce import convert_model
from s2bnn_tf.export.operations import file_operations
from s2bnn_tf.export.quantize_head import round_to_8_bits, store_8_bit_weights, with_rounded_head
from s2bnn_tf.export.verify import ParityReport, run_keras, verify
from s2bnn_tf.files import replaced, write_json
from s2bnn_tf.runs import LinearProbe, RunDirectory, load_encoder
from s2bnn_tf.tflite import OUTPUT_NAMES, TFLiteGraph

# Kernel (C, K), bias (K,) and the K class names of a linear classifier.
NamedProbe = tuple[np.ndarray, np.ndarray, tuple[str, ...]]
Tell = Callable[[str], None]

# Images to verify on: of up to 64 pixels, and larger. One of 224 pixels takes about a second.
_IMAGES_SMALL, _IMAGES_LARGE = 64, 16
_SMALL = 64


def convert_run(
    run: str | Path,
    output: str | Path,
    *,
    head: str = "none",
    fold: bool = True,
    head_bits: int = 8,
    data: str | None = None,
    progress: Tell | None = None,
) -> dict:
    """Convert the encoder of a run directory, verified on images of its data source.

    Args:
        run: A run directory.
        output: The `.tflite` to write; its card goes beside it.
        head: `"none"`, `"projection"` or `"linear"` (the run's eval/linear_probe.npz).
        fold: Whether shifts are folded; see `deployment_model`.
        head_bits: 8 or 32, of the weights of the head; see `export_encoder`.
        data: Images to verify on, as for `open_source`; by default those of training.
        progress: Told what is being done.

    Returns:
        The card; see `export_encoder`.

    Raises:
        UserError: if something is missing or cannot be written.
        ParityError: if the file does not compute what the encoder computes.
    """
    directory = RunDirectory(run)
    settings = directory.config.data
    source = data or settings.source
    probe: NamedProbe | None = None
    if head == "linear":
        found = LinearProbe.load(directory.eval_dir / "linear_probe.npz")
        probe = found.kernel, found.bias, found.class_names
    return export_encoder(
        load_encoder(run),
        Path(output),
        image_size=settings.image_size,
        center_crop=settings.center_crop,
        head=head,
        fold=fold,
        head_bits=head_bits,
        probe=probe,
        images=sample_images(source, settings.image_size, settings.center_crop),
        source=settings.source,
        progress=progress,
    )


def export_encoder(
    encoder: Encoder,
    output: Path,
    *,
    image_size: int,
    center_crop: float,
    images: np.ndarray,
    head: str = "none",
    fold: bool = True,
    head_bits: int = 8,
    probe: NamedProbe | None = None,
    source: str | None = None,
    progress: Tell | None = None,
) -> dict:
    """Convert an encoder, verify the file, write it and its JSON card.

    File and card appear whole, after verification, or not at all.

    Args:
        encoder: Normalized images to embeddings.
        output: The `.tflite` to write. The card has the same name with `.json`.
        image_size: Pixels S of the square input.
        center_crop: Fraction of the shorter side that evaluation keeps; for the card.
        images: Real images to verify on, RGB 0-255 `(N, S, S, 3)`.
        head: `"none"`, `"projection"` or `"linear"`.
        fold: Whether shifts are folded; see `deployment_model`.
        head_bits: 8 or 32. The weights of a head's dense layers are rounded to 8 bits and
            stored so; the card says what that changed.
        probe: Kernel, bias and class names for `"linear"`.
        source: What the encoder was trained on; for the card.
        progress: Told what is being done.

    Returns:
        The card: input, output, head, labels, sizes, operations, shifts that were not folded,
        parity, SHA-256.

    Raises:
        UserError: if the encoder cannot be deployed so, or the file not be written.
        ParityError: if the file does not compute what the encoder computes.
    """
    tell = progress or (lambda message: None)
    if output.suffix != ".tflite":
        raise UserError(f"The output is to be named *.tflite, not {output.name!r}.")
    weights: Probe | None = None if probe is None else (probe[0], probe[1])
    with _writing(output), replaced(output, output.with_suffix(".json")) as (model_file, card_file):
        exact = encoder, weights = in_float32(encoder), weights
        if head_bits == 8:
            encoder = with_rounded_head(encoder)
            weights = weights and (round_to_8_bits(weights[0]), weights[1])
        tell("Converting by Larq Compute Engine")
        deployed = deployment_model(encoder, image_size, head, weights, fold=fold)
        left = shifts_left(deployed.get_layer(encoder.backbone.name)) if fold else {}
        for shift, reason in left.items():
            tell(f"Not folded: {shift}, because {reason}")
        model = convert_model(deployed, output_name=OUTPUT_NAMES[head])
        if head_bits == 8:
            model = store_8_bit_weights(model)
        tell(f"Verifying {len(model) / 1024:.0f} KiB on {len(images)} images")
        report = verify(encoder, model, images, deployed=deployed, head=head, probe=weights)
        card = _card(model, report, head=head, center_crop=center_crop, source=source)
        card["not_folded"] = left
        if head != "none" and head_bits == 8:
            card["head_rounding"] = _rounding(exact, (encoder, weights), images, head)
        card["labels"] = list(probe[2]) if probe is not None and head == "linear" else None
        model_file.write_bytes(model)
        write_json(card_file, card)
    return card


def sample_images(
    source: str, image_size: int, center_crop: float, count: int | None = None
) -> np.ndarray:
    """Images spread over a source's test split, or its only one: float32 `(N, S, S, 3)`.

    Args:
        source: As for `open_source`.
        image_size: Pixels S.
        center_crop: Fraction of the shorter side that is kept.
        count: N; 64 unless given, 16 of more than 64 pixels. Fewer if there are no more.

    Raises:
        UserError: if the source cannot be opened or no image of it be read.
    """
    try:
        images = open_source(source, "test")
    except UserError:
        images = open_source(source, "train")
    count = count or (_IMAGES_SMALL if image_size <= _SMALL else _IMAGES_LARGE)
    chosen = np.unique(np.linspace(0, len(images) - 1, count).astype(int))
    dataset = labeled_dataset(
        images.select(chosen), image_size=image_size, batch_size=count, center_crop=center_crop
    )
    batches = [batch for batch, _ in dataset.as_numpy_iterator()]
    if not batches:
        raise UserError(f"No image of {source} can be read to verify the file on.")
    return np.concatenate(batches)


def _rounding(
    exact: tuple[Encoder, Probe | None],
    rounded: tuple[Encoder, Probe | None],
    images: np.ndarray,
    head: str,
) -> dict[str, float]:
    """What 8 bits in the weights of the head change, in Keras: for the card."""
    before, after = (run_keras(encoder, images, head, probe) for encoder, probe in (exact, rounded))
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    changed = {"cosine_min": float(np.min((before * after).sum(axis=1) / lengths))}
    if head == "linear":
        changed["same_class"] = float(np.mean(before.argmax(axis=1) == after.argmax(axis=1)))
    return changed


def _card(
    model: bytes, report: ParityReport, *, head: str, center_crop: float, source: str | None
) -> dict:
    graph = TFLiteGraph(model)
    (image,), (output,) = (
        [graph.tensors[index] for index in indices] for indices in (graph.inputs, graph.outputs)
    )
    return {
        "input": {
            "name": image.name,
            "shape": list(image.shape),
            "dtype": str(image.dtype),
            "range": "RGB 0-255",
        },
        "output": {"name": output.name, "shape": list(output.shape), "dtype": str(output.dtype)},
        "head": head,
        "image_size": image.shape[1],
        "center_crop": center_crop,
        "size_bytes": len(model),
        "float_weights_bytes": graph.constant_bytes(np.float32),
        "binary_convolutions": report.binary_convolutions,
        "operations": file_operations(graph),
        "parity": report.to_dict(),
        "sha256": hashlib.sha256(model).hexdigest(),
        "source": source,
        "created_by": f"s2bnn_tf {__version__}",
    }


@contextlib.contextmanager
def _writing(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Cannot write to {output.parent}: {error.strerror}; choose another output."
        ) from error
