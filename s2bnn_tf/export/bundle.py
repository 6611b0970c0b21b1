"""A folder, or a zip of it, with everything that a device needs: model, scripts, runtime, card."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from s2bnn_tf import __version__
from s2bnn_tf.data import load_image, open_source, see
from s2bnn_tf.errors import CheckpointError, ConfigError, UserError
from s2bnn_tf.export.convert import convert_run
from s2bnn_tf.export.wheels import find_wheel
from s2bnn_tf.files import flush, made_folder, replaced, sha256, write_arrays, write_json
from s2bnn_tf.image_size import height_width
from s2bnn_tf.progress import Progress
from s2bnn_tf.reading import Field, Number, Object, Text, read_json
from s2bnn_tf.runs import LinearProbe, RunDirectory, read_origin
from s2bnn_tf.tflite import TFLiteEncoder

_FILES = Path(__file__).with_name("bundle_files")
# All of them have wheels for both targets; the two versions of LiteRT cover Python 3.10 to 3.13.
_REQUIREMENTS = (
    'ai-edge-litert==2.0.3; python_version < "3.13"',
    'ai-edge-litert==2.3.0; python_version >= "3.13"',
    "numpy==2.2.6",
    "pillow==11.3.0",
)
# What a bundle takes from the card of its encoder.
_CARD: dict[str, Field] = {
    **dict.fromkeys(("sha256", "head"), Text()),
    **dict.fromkeys(("input", "operations", "parity"), Object()),
    "center_crop": Number(above=0, high=1),
}
_LARGEST_KIND = 160  # pixels of the longer side
_ORIENTATION = 0x0112  # the EXIF tag
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can hold


def bundle(
    run: str | Path,
    output: str | Path,
    *,
    target: str,
    wheel: str | Path | None = None,
    encoder: str | Path | None = None,
    also: Sequence[Path] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a bundle of a run. The same run and the same wheel give the same bytes.

    Args:
        run: A run directory. If it has a linear probe, the bundle can classify.
        output: A folder that does not exist yet, or a file `*.zip`.
        target: `"linux-aarch64"` or `"linux-x86_64"`.
        wheel: The wheel of s2bnn_runtime for the target. Defaults to the one in `runtime/dist`,
            which is built if it is missing.
        encoder: The run's `.tflite`, as `convert_run` wrote it without a head, with its card
            beside it. Defaults to converting the run.
        also: Further files to put into it, such as words and the model that they belong to.
        progress: Called with a message at the start of each step.

    Returns:
        The content of `card.json`: target, input, metrics, licenses, and the SHA-256 of the
        other files.

    Raises:
        ConfigError: If the output exists already.
        DeviceError: If there is no wheel for the target, and none can be built.
        CheckpointError: If the run, its weights, its classifier or the encoder's card are missing
            or damaged.
        ParityError: If the converted file does not compute what the encoder computes.
        OSError: If the output cannot be written.
    """
    output, directory = Path(output), RunDirectory(run)
    if output.exists():
        raise ConfigError(f"{output} exists already; remove it, or choose another output.")
    wheel = find_wheel(target, wheel, progress)
    # Beside the output, so that the finished folder takes its place in one step.
    with (
        made_folder(output.parent),
        tempfile.TemporaryDirectory(f"-{output.name}", ".", output.parent) as temporary,
    ):
        folder = Path(temporary) / (output.stem if output.suffix == ".zip" else output.name)
        folder.mkdir()
        converted = _write_encoder(run, encoder, folder / "encoder.tflite", progress)
        for path in (wheel, *also):
            shutil.copy(path, folder / path.name)
        requirements = [*_REQUIREMENTS, f"./{wheel.name}"]
        (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
        probe = _write_classifier(directory, folder)
        _write_samples(folder, directory, probe)
        _write_scripts(folder, directory.path.resolve().name, target)
        card = _card(directory, folder, converted, target)
        write_json(folder / "card.json", card)
        _move(folder, output)
    return card


def _write_encoder(
    run: str | Path, encoder: str | Path | None, output: Path, progress: Progress | None
) -> dict[str, Any]:
    """Write the model and its card, and return the card."""
    if encoder is None:
        return convert_run(run, output, progress=progress)
    model, cure = Path(encoder), "convert the run again"
    written = model.with_suffix(".json")
    try:
        card, digest = read_json(written, _CARD, cure=cure), sha256(model)
    except FileNotFoundError as error:
        raise CheckpointError(f"{error.filename} is missing; {cure}.") from error
    if (digest, "none") != (card["sha256"], card["head"]):
        raise CheckpointError(f"{model} is not the encoder that {written} describes; {cure}.")
    shutil.copy(model, output)
    shutil.copy(written, output.with_suffix(".json"))
    return card


def _write_classifier(run: RunDirectory, folder: Path) -> LinearProbe | None:
    path = run.eval_dir / "linear_probe.npz"
    if not path.is_file():
        return None
    probe = LinearProbe.load(path)
    names = probe.class_names
    arrays = {"kernel": probe.kernel, "bias": probe.bias, "class_names": np.array(names, np.str_)}
    write_arrays(folder / "classifier.npz", arrays)
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
    return probe


def _write_samples(folder: Path, run: RunDirectory, probe: LinearProbe | None) -> None:
    """Write pictures of every kind and their expected results, for `classify.py --selftest`."""
    picture = Image.fromarray(_first_image(run.config.data.source))
    picture.save(folder / "sample.png")
    names = ["sample.png", *_write_kinds(folder, picture)]
    encoder = TFLiteEncoder(folder / "encoder.tflite")
    results = []
    for name in names:
        shape = (*height_width(encoder.image_size), encoder.channels)
        seen = see(load_image(folder / name), shape, encoder.center_crop)
        features = encoder.features(seen[np.newaxis].astype(np.float32))[0]
        named = None
        if probe is not None:
            named = probe.class_names[int(probe.logits(features).argmax())]
        results.append({"picture": name, "class": named, "features": features.tolist()})
    write_json(folder / "expected.json", {**results[0], "others": results[1:]})


def _write_kinds(folder: Path, picture: Image.Image) -> list[str]:
    """Write a small picture as cameras, scanners and web sites store it; return the names."""
    small = ImageOps.contain(picture, (_LARGEST_KIND, _LARGEST_KIND))
    sideways = Image.Exif()
    sideways[_ORIENTATION] = 6
    small.transpose(Image.Transpose.ROTATE_90).save(folder / "sample-turned.jpg", exif=sideways)
    transparent = small.convert("RGBA")
    transparent.putalpha(Image.radial_gradient("L").resize(small.size))
    transparent.save(folder / "sample-transparent.png")
    deep = np.asarray(small.convert("L"), np.uint16) * 257
    Image.fromarray(deep).save(folder / "sample-16-bits.png")
    small.convert("CMYK").save(folder / "sample-cmyk.jpg")
    small.convert("P").save(folder / "sample-palette.gif")
    return sorted(path.name for path in folder.glob("sample-*"))


def _first_image(spec: str) -> NDArray[np.uint8]:
    try:
        source = open_source(spec, "test")
    except UserError:
        source = open_source(spec, "train")
    return source.read(0)


def _write_scripts(folder: Path, name: str, target: str) -> None:
    for script in ("classify.py", "embed.py"):
        shutil.copy(_FILES / script, folder / script)
    size = (folder / "encoder.tflite").stat().st_size // 1024
    text = (_FILES / "README.md").read_text("utf-8")
    values = {"name": name, "target": target, "size": size, "version": __version__}
    (folder / "README.md").write_text(text.format(**values), "utf-8")


def _card(
    run: RunDirectory, folder: Path, converted: dict[str, Any], target: str
) -> dict[str, Any]:
    metrics, channels = {}, run.config.data.channels
    for name in ("knn", "linear"):
        path = run.eval_dir / f"{name}.json"
        with contextlib.suppress(FileNotFoundError):
            result = read_json(path, cure=f"run `s2bnn eval {name}` again")
            metrics[name] = {**result, "command": f"s2bnn eval {name} {run.path}"}
    origin = read_origin(run.path)
    return {
        "target": target,
        "input": converted["input"],
        "preprocessing": {
            "crop": f"the central {converted['center_crop']:g} of what covers the input, bilinear",
            "values": f"{'RGB' if channels == 3 else 'gray'}, 0 to 255; normalized inside",
        },
        "operations": converted["operations"],
        "parity": converted["parity"],
        "metrics": metrics,
        "licences": {
            "classify.py, embed.py, s2bnn_runtime": "Apache-2.0",
            "encoder.tflite": "decided by its trainer; trained on " + run.config.data.source,
            **_of_teacher(origin),
        },
        "sha256": {path.name: sha256(path) for path in sorted(folder.iterdir())},
        "created_by": f"s2bnn_tf {__version__}",
    }


def _of_teacher(origin: dict[str, Any] | None) -> dict[str, str]:
    """The license of the published network that guided the encoder, if there is one."""
    if origin is None:
        return {}
    return {"teacher": f"{origin['license']}: {origin['name']}, from {origin['source']}"}


def _move(folder: Path, output: Path) -> None:
    """Put the finished folder, or a zip of it, in its place."""
    if output.suffix != ".zip":
        for path in (*folder.iterdir(), folder):
            flush(path)
        folder.rename(output)
        flush(output.parent)
        return
    with replaced(output) as (partial,), zipfile.ZipFile(partial, "w") as archive:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"{folder.name}/{path.name}", _EARLIEST)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
