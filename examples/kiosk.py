"""A kiosk: three keys enroll what the camera sees, and every picture is named.

    python examples/kiosk.py encoder.tflite things.npz 0 --names cup pen phone
    python examples/kiosk.py encoder.tflite things.npz photos/

The source is a camera's number, which needs OpenCV, or a folder. After each picture, press Enter
for the next one; 1, 2 or 3 before it enrolls the picture, and q ends. `s2bnn convert` writes the
encoder, and the runtime's wheel with numpy and Pillow is all that the kiosk needs.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from s2bnn_runtime import PrototypeClassifier, S2bnnError
from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.images import as_input, picture_files, read_picture

FALSE_ALARMS = 0.05  # the share of pictures of a class that may be called unknown


def pictures(source: str) -> Iterator[tuple[str, np.ndarray]]:
    """The name and the RGB pixels of each picture, uint8 (H, W, 3)."""
    if not source.isdecimal():
        for path in picture_files([Path(source)]):
            yield str(path), read_picture(path)
        return
    import cv2

    camera = cv2.VideoCapture(int(source))
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what it sees now, and not when a key was pressed
    while camera.isOpened():
        taken, frame = camera.read()
        if not taken:
            break
        yield f"camera {source}", cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    raise S2bnnError(f"camera {source} gives no picture; check that it is connected")


def name_of(classifier: PrototypeClassifier, embedding: np.ndarray) -> str:
    """The class of a picture in words."""
    if not classifier.counts:
        return "nothing is enrolled yet"
    (found,) = classifier.predict(embedding, classifier.calibrated(FALSE_ALARMS))
    return f"{found.name or 'unknown'} ({found.score:.2f})"


def main(arguments: list[str] | None = None) -> None:
    """Name the pictures, and enroll those for which a key is pressed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="an encoder's .tflite")
    parser.add_argument("classes", type=Path, help="the .npz that holds the classes")
    parser.add_argument("source", help="a folder, or the number of a camera")
    parser.add_argument("--names", nargs=3, default=["one", "two", "three"], help="of the classes")
    options = parser.parse_args(arguments)
    keys = dict(zip("123", options.names))
    embedder = Embedder(options.model)
    known = options.classes.exists()
    classifier = PrototypeClassifier.load(options.classes) if known else PrototypeClassifier()
    classifier.enter(embedder.space)
    for source, pixels in pictures(options.source):
        found = embedder.interpreter.predict(as_input(pixels, embedder.detail, kept=embedder.kept))
        print(f"{source}: {name_of(classifier, found)}", flush=True)
        line = sys.stdin.readline()
        if line.strip() == "q" or not line:
            break
        if line.strip() in keys:
            with PrototypeClassifier.edit(options.classes) as classifier:
                classifier.enter(embedder.space)
                classifier.enroll(keys[line.strip()], found, [source])


if __name__ == "__main__":
    try:
        main()
    except S2bnnError as error:
        sys.exit(str(error))
