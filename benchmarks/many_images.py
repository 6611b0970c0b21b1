"""Show what millions of packed images take at start, and what a bounded shuffle is worth.

    python benchmarks/many_images.py [--images 10000 100000 1000000] [--output FILE.json]

For each number of images, it writes the indices of a packed folder whose files have the right size
and hardly any contents, opens it in a process of its own as training does, and draws the order of
the first epoch. The memory of an image is the growth of the process by then.

It packs photographs as well.

The bounded shuffle is simulated: files of 1,000 images are taken in random order, some at a time,
and shuffled among themselves. How many of the images that share a batch with one share its batch
in the next epoch again? A shuffle of all images says how many are due to chance.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sides import write_results

IMAGES_PER_FILE = 1000
BYTES = 100_000  # of an image
SIMULATED, BATCH, FOLLOWED = 1_000_000, 256, 2000
FILES_AT_ONCE = (1, 8, 64, 512, SIMULATED // IMAGES_PER_FILE)


def write_indices(folder: Path, images: int) -> None:
    """Write what `s2bnn data pack` writes, without the images."""
    from s2bnn_tf.files import write_arrays, write_json

    picture = io.BytesIO()
    Image.new("RGB", (224, 224)).save(picture, "png")
    files = images // IMAGES_PER_FILE
    names = [f"train-{i:05d}-of-{files:05d}.tfrecord" for i in range(files)]
    length = np.full(IMAGES_PER_FILE, BYTES, np.int64)
    index = {
        "offset": np.arange(IMAGES_PER_FILE, dtype=np.int64) * BYTES,
        "length": length,
        "size": np.full((IMAGES_PER_FILE, 2), 224, np.int32),
        "label": np.zeros(IMAGES_PER_FILE, np.int64),
        "bytes": np.int64(length.sum()),
    }
    for name in names:
        with open(folder / name, "wb") as file:
            file.write(picture.getvalue())  # the first can be read, which opening tries
            file.truncate(int(length.sum()))  # without blocks on the disk
        write_arrays((folder / name).with_suffix(".npz"), index)
    write_json(folder / "train.json", {"plan": "", "class_names": ["one"], "files": names})


def resident_mib() -> float:
    """The largest resident memory of this process until now, without that of its parent."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def start(folder: Path) -> dict[str, float]:
    """Open a packed folder and draw an epoch's order, in this process."""
    from s2bnn_tf.data import open_source
    from s2bnn_tf.data.order import epoch_order

    epoch_order(1000, 0, 0)  # TensorFlow's own start
    before, begin = resident_mib(), time.process_time()
    source = open_source(f"tfrecord:{folder}", "train")
    opened, seconds = resident_mib(), time.process_time()
    epoch_order(len(source), 0, 0)
    return {
        "images": len(source),
        "seconds_to_open": round(seconds - begin, 2),
        "seconds_to_order": round(time.process_time() - seconds, 2),
        "mib_to_open": round(opened - before, 1),
        "mib_with_order": round(resident_mib() - before, 1),
    }


def measure(images: int) -> dict[str, float]:
    """Open a packed folder of that many images in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_indices(Path(folder), images)
        command = [sys.executable, __file__, "--here", folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def pack_photographs(images: int = 300) -> dict[str, float]:
    """Pack JPEGs of 500x375 pixels; the processor's time for each, with its decoding."""
    from views import write_photographs

    from s2bnn_tf.data import open_source, pack

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "photographs")
        folder.mkdir()
        write_photographs(folder, images)
        source = open_source(f"folder:{folder}")
        begin = time.process_time()
        done = pack(source, Path(name, "packed"))["images"]
        seconds = time.process_time() - begin
    return {"packed": done, "cpu_ms_an_image": round(1000 * seconds / done, 2)}


def bounded_order(
    images: int, per_file: int, at_once: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The order of an epoch that holds `at_once` files in memory and shuffles only among them."""
    files = np.arange(images, dtype=np.int64).reshape(-1, per_file)[
        rng.permutation(images // per_file)
    ]
    windows = [files[first : first + at_once] for first in range(0, len(files), at_once)]
    return np.concatenate([rng.permutation(window.reshape(-1)) for window in windows])


def met_again(
    first: NDArray[np.int64], second: NDArray[np.int64], batch: int, rows: NDArray[np.int64]
) -> float:
    """How many others share a batch with an image in both of two orders: the mean over some."""
    batches = [np.empty(len(order), np.int64) for order in (first, second)]
    for order, numbers in zip((first, second), batches, strict=True):
        numbers[order] = np.arange(len(order)) // batch
    count = 0
    for row in rows:
        begin = batches[0][row] * batch
        count += np.count_nonzero(batches[1][first[begin : begin + batch]] == batches[1][row]) - 1
    return count / len(rows)


def simulate() -> list[dict[str, float]]:
    """What a shuffle among a few files is worth."""
    rng, found = np.random.default_rng(0), []
    rows = rng.choice(SIMULATED, FOLLOWED, replace=False)
    for at_once in FILES_AT_ONCE:
        orders = [bounded_order(SIMULATED, IMAGES_PER_FILE, at_once, rng) for _ in range(2)]
        again = round(met_again(*orders, BATCH, rows), 3)
        found.append({"files_at_once": at_once, "met_again": again})
    return found


def main() -> None:
    """Measure and simulate, print both, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(start(arguments.here)))
        return
    results = [*simulate(), pack_photographs(), *map(measure, arguments.images)]
    for found in results:
        print(json.dumps(found), flush=True)
    if arguments.output:
        write_results(arguments.output, results)


if __name__ == "__main__":
    main()
