"""A folder, or a zip of it, with everything that a device needs: model, scripts, runtime, card."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from s2bnn_tf import __version__
from s2bnn_tf.data import ImageSource, open_source
from s2bnn_tf.errors import UserError
from s2bnn_tf.export.convert import Tell, convert_run
from s2bnn_tf.files import replaced, sha256, write_json
from s2bnn_tf.runs import LinearProbe, RunDirectory
from s2bnn_tf.tflite import TFLiteEncoder

_FILES = Path(__file__).with_name("bundle_files")
# Each has wheels for both targets, on Python 3.10 to 3.13 together.
_REQUIREMENTS = (
    'ai-edge-litert==2.0.3; python_version < "3.13"',
    'ai-edge-litert==2.3.0; python_version >= "3.13"',
    "numpy==2.2.6",
    "pillow==11.3.0",
)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip knows
_RUNTIME = Path(__file__).parents[2] / "runtime" / "dist"


def bundle(
    run: str | Path,
    output: str | Path,
    *,
    target: str,
    wheel: str | Path | None = None,
    progress: Tell | None = None,
) -> dict:
    """Write a bundle of a run. The same run and wheel give the same bytes.

    Args:
        run: A run directory. If it has a linear probe, the bundle can classify.
        output: A folder that does not exist yet, or a file `*.zip`.
        target: `"linux-aarch64"` or `"linux-x86_64"`.
        wheel: The runtime's wheel for the target; one of `runtime/dist` unless given.
        progress: Told what is being done.

    Returns:
        What `card.json` holds: target, input, metrics, licenses, SHA-256 of the other files.

    Raises:
        UserError: if something is missing or cannot be written.
        ParityError: if the converted file does not compute what the encoder computes.
    """
    output, directory = Path(output), RunDirectory(run)
    if output.exists():
        raise UserError(f"{output} is there already; remove it, or choose another output.")
    wheel = _find_wheel(target, wheel)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / (output.stem if output.suffix == ".zip" else output.name)
        folder.mkdir()
        converted = convert_run(run, folder / "encoder.tflite", progress=progress)
        shutil.copy(wheel, folder / wheel.name)
        requirements = [*_REQUIREMENTS, f"./{wheel.name}"]
        (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
        probe = _write_classifier(directory, folder)
        _write_sample(folder, directory, probe)
        _write_scripts(folder, directory.path.resolve().name, target)
        card = _card(directory, folder, converted, target)
        write_json(folder / "card.json", card)
        _move(folder, output)
    return card


def _find_wheel(target: str, wheel: str | Path | None) -> Path:
    machine = target.removeprefix("linux-")
    if wheel is None:
        found = sorted(_RUNTIME.glob(f"s2bnn_runtime-*{machine}*.whl"))
        if not found:
            raise UserError(
                f"There is no wheel of the runtime for {target}: make it with "
                "`make -C runtime wheels`, or name one with --runtime-wheel."
            )
        return found[-1]
    wheel = Path(wheel)
    if not wheel.is_file() or not wheel.name.startswith("s2bnn_runtime-"):
        raise UserError(f"{wheel} is not a wheel of s2bnn_runtime.")
    if machine not in wheel.name:
        raise UserError(f"{wheel.name} is not for {target}; name the wheel for {machine}.")
    return wheel


def _write_classifier(run: RunDirectory, folder: Path) -> LinearProbe | None:
    path = run.eval_dir / "linear_probe.npz"
    if not path.is_file():
        return None
    probe = LinearProbe.load(path)
    names = probe.class_names
    arrays = {"kernel": probe.kernel, "bias": probe.bias, "class_names": np.array(names, np.str_)}
    np.savez(folder / "classifier.npz", **arrays)
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
    return probe


def _write_sample(folder: Path, run: RunDirectory, probe: LinearProbe | None) -> None:
    """A picture and what it must give, as `classify.py --selftest` compares it."""
    picture = _first_image(run.config.data.source)
    Image.fromarray(picture).save(folder / "sample.png")
    encoder = TFLiteEncoder(folder / "encoder.tflite")
    square = prepare(picture, encoder.image_size, encoder.center_crop)
    features = encoder.features(square[np.newaxis])[0]
    named = None
    if probe is not None:
        named = probe.class_names[int(probe.logits(features).argmax())]
    expected = {"picture": "sample.png", "class": named, "features": features.tolist()}
    write_json(folder / "expected.json", expected)


def _first_image(spec: str) -> np.ndarray:
    try:
        source: ImageSource = open_source(spec, "test")
    except UserError:
        source = open_source(spec, "train")
    return source.read(0)


def prepare(picture: np.ndarray, size: int, kept: float) -> np.ndarray:
    """As `embed.py` does on the device."""
    image = Image.fromarray(picture)
    side = kept * min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box), np.float32)


def _write_scripts(folder: Path, name: str, target: str) -> None:
    for script in ("classify.py", "embed.py"):
        shutil.copy(_FILES / script, folder / script)
    size = (folder / "encoder.tflite").stat().st_size // 1024
    text = (_FILES / "README.md").read_text("utf-8")
    values = {"name": name, "target": target, "size": size, "version": __version__}
    (folder / "README.md").write_text(text.format(**values), "utf-8")


def _card(run: RunDirectory, folder: Path, converted: dict, target: str) -> dict:
    metrics = {}
    for name in ("knn", "linear"):
        path = run.eval_dir / f"{name}.json"
        if path.is_file():
            result = json.loads(path.read_text("utf-8"))
            metrics[name] = {**result, "command": f"s2bnn eval {name} {run.path}"}
    return {
        "target": target,
        "input": converted["input"],
        "preprocessing": {
            "square": f"the central {converted['center_crop']:g} of the shorter side, bilinear",
            "values": "RGB, 0 to 255; normalized inside",
        },
        "operations": converted["operations"],
        "parity": converted["parity"],
        "metrics": metrics,
        "licenses": {
            "classify.py, embed.py, s2bnn_runtime": "Apache-2.0",
            "encoder.tflite": "of whoever trained it, on the images of " + run.config.data.source,
        },
        "sha256": {path.name: sha256(path) for path in sorted(folder.iterdir())},
        "created_by": f"s2bnn_tf {__version__}",
    }


def _move(folder: Path, output: Path) -> None:
    """Put the finished folder, or a zip of it, in its place."""
    if output.suffix != ".zip":
        shutil.copytree(folder, output)
        return
    with replaced(output) as (partial,), zipfile.ZipFile(partial, "w") as archive:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"{folder.name}/{path.name}", _LONG_AGO)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
