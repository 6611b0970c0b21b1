"""Install a bundle offline in an empty environment and compare its results with the host's.

    make -C runtime wheels
    python benchmarks/bundle_on_devices.py --run RUN [--pythons python3.10 python3.13]

The bundle for linux-x86_64 is installed in an empty Python environment, the one for linux-aarch64
in Debian's arm64 Python under qemu-user, which `runtime/tools/setup_aarch64.sh` sets up (as root).
The packages that the bundle pins are downloaded first; after that, pip may use only these files.
The bundle then runs its self-test and encodes and classifies real images. The results are compared
with those of Larq Compute Engine's interpreter on this machine. Times measured under emulation mean
nothing, so none are reported.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.files import write_json

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ("linux-x86_64", "linux-aarch64")
SMALLEST_COSINE = 0.99  # as in the bundle's classify.py: rounding flips a few signs
GLIBC = 36  # the minor version in Debian 12, whose arm64 Python is used
QUIET = ("-q", "--disable-pip-version-check")
ABOUT = """
import importlib.util, json, platform
from importlib.metadata import version
names = ("ai-edge-litert", "numpy", "pillow", "s2bnn_runtime")
print(json.dumps({
    "machine": platform.machine(), "python": platform.python_version(),
    "packages": {name: version(name) for name in names},
    "tensorflow": importlib.util.find_spec("tensorflow") is not None}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run", type=Path, help="a run directory (default: an untrained student of the digits)"
    )
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--images", type=int, default=50, help="number of test images (default 50)")
    parser.add_argument("--wheels", type=Path, default=ROOT / "runtime" / "dist")
    pythons = {
        "nargs": "+",
        "default": [sys.executable],
        "help": "interpreters for x86_64 (default: this one)",
    }
    parser.add_argument("--pythons", **pythons)
    work = ROOT / "runs" / "bundle_on_devices"
    parser.add_argument(
        "--work", type=Path, default=work, help="working directory, kept for later runs"
    )
    parser.add_argument("--output", type=Path, help="write the results to this JSON file")
    options = parser.parse_args()
    quiet_tensorflow()

    work = options.work.resolve()
    run = options.run or untrained_student(work / "untrained")
    pictures = write_pictures(run, work / "pictures", options.images)
    results = []
    for target in options.targets:
        machine = target.removeprefix("linux-")
        archive = make_bundle(run, target, options.wheels, work)
        for python in options.pythons if machine == "x86_64" else ["python3.11"]:
            folder = unpack(archive)
            results.append(compare(folder, install(folder, machine, python, work), pictures))
            print(json.dumps(results[-1]), flush=True)
    if options.output:
        write_json(options.output, {"date": time.strftime("%Y-%m-%d"), "devices": results})
    if not all(result["equal"] for result in results):
        sys.exit("The results on a device differ from those on the host.")


def untrained_student(path: Path) -> Path:
    from s2bnn_tf.config import load_config
    from s2bnn_tf.runs import leave_untrained

    settings = ["student.width=0.125", "teacher.weights=none"]
    recipe = ROOT / "configs" / "digits" / "distillation_one_step.yaml"
    return leave_untrained(load_config(recipe, settings), path).path


def write_pictures(run: Path, folder: Path, count: int) -> list[Path]:
    from s2bnn_tf.data import open_source
    from s2bnn_tf.runs import RunDirectory

    source = open_source(RunDirectory(run).config.data.source, "test")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = [folder / f"{index:04d}.png" for index in range(min(count, len(source)))]
    for index, path in enumerate(paths):
        Image.fromarray(source.read(index)).save(path)
    return paths


def make_bundle(run: Path, target: str, wheels: Path, work: Path) -> Path:
    from s2bnn_tf.export import bundle

    found = sorted(wheels.glob(f"*{target.removeprefix('linux-')}.whl"))
    if not found:
        sys.exit(
            f"There is no wheel for {target} in {wheels}; build it with `make -C runtime wheels`."
        )
    archive = work / f"{target}.zip"
    archive.unlink(missing_ok=True)
    bundle(run, archive, target=target, wheel=found[-1])
    return archive


def unpack(archive: Path) -> Path:
    folder = archive.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder.parent)
    return folder


def install(folder: Path, machine: str, python: str, work: Path) -> list[str]:
    """Install the bundle's requirements offline and return the command that runs its Python."""
    wheels = work / f"wheels-{machine}"
    lines = (folder / "requirements.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("./")]
    offline = ["install", *QUIET, "--no-index", f"--find-links={wheels}", "-r", "requirements.txt"]
    if machine == "x86_64":
        call([python, "-m", "venv", str(folder / ".venv")])
        there = str(folder / ".venv" / "bin" / "python")
        call([there, "-m", "pip", "download", *QUIET, f"--dest={wheels}", *pinned])
        call([there, "-m", "pip", *offline], cwd=folder)
        return [there]
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in range(17, GLIBC + 1)]
    platforms = [f"--platform={name}" for name in (*platforms, "manylinux2014_aarch64")]
    pip = [sys.executable, "-m", "pip", "download", *QUIET, "--only-binary=:all:", *platforms]
    call([*pip, "--python-version=3.11", f"--dest={wheels}", "pip", *pinned])
    emulated = [str(work / "aarch64" / "python"), "without-host"]
    if not Path(emulated[0]).exists():
        call([str(ROOT / "runtime" / "tools" / "setup_aarch64.sh"), str(work / "aarch64")])
    # Debian's Python comes without pip, so the emulated Python runs pip from its wheel.
    (wheel,) = wheels.glob("pip-*.whl")
    offline += ["--no-compile", f"--target={folder / 'site'}"]
    call([*emulated, f"{wheel}/pip", *offline], cwd=folder)
    return ["env", f"PYTHONPATH={folder / 'site'}", *emulated]


def compare(folder: Path, python: list[str], pictures: list[Path]) -> dict:
    """Return what the installed bundle reports, compared with the host's results."""
    about = json.loads(call([*python, "-c", ABOUT], cwd=folder))
    selftest = json.loads(call([*python, "classify.py", "--selftest"], cwd=folder).splitlines()[0])
    names = [str(path) for path in pictures]
    call([*python, "embed.py", *names, "--output", "features.npz"], cwd=folder)
    with np.load(folder / "features.npz") as arrays:
        there = arrays["features"]
    here, classes = on_host(folder, pictures)
    lengths = np.linalg.norm(here, axis=1) * np.linalg.norm(there, axis=1)
    cosine = float(((here * there).sum(axis=1) / lengths).min())
    result = {
        **about,
        "selftest": selftest,
        "images": len(pictures),
        "smallest_cosine": cosine,
        "largest_difference": float(np.abs(here - there).max()),
        "largest_feature": float(np.abs(here).max()),
    }
    equal = selftest["ok"] and cosine >= SMALLEST_COSINE and not about["tensorflow"]
    if classes is not None:
        said = call([*python, "classify.py", *names, "--top-k", "1"], cwd=folder)
        named = [line.split(" ", 1)[1].rsplit(" ", 1)[0] for line in said.splitlines()]
        result["same_class"] = float(np.mean([a == b for a, b in zip(named, classes)]))
        equal = equal and result["same_class"] == 1
    return {"equal": equal, **result}


def on_host(folder: Path, pictures: list[Path]) -> tuple[np.ndarray, list[str] | None]:
    """Return the features (N, C) from Larq Compute Engine and the class of each picture."""
    from s2bnn_tf.data import load_image, see
    from s2bnn_tf.image_size import height_width
    from s2bnn_tf.tflite import TFLiteEncoder

    encoder = TFLiteEncoder(folder / "encoder.tflite", "lce")
    shape = (*height_width(encoder.image_size), encoder.channels)
    squares = [see(load_image(path), shape, encoder.center_crop) for path in pictures]
    features = encoder.features(np.stack(squares).astype(np.float32))
    if not (folder / "classifier.npz").exists():
        return features, None
    with np.load(folder / "classifier.npz") as arrays:
        best = (features @ arrays["kernel"] + arrays["bias"]).argmax(axis=1)
        return features, [str(name) for name in arrays["class_names"][best]]


def call(command: list[str], cwd: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)[:300]}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
