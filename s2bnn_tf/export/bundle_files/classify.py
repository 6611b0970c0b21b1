"""Name what is in pictures: python classify.py cat.jpg photos/*.jpg

The classes are those in classifier.npz, or your own, each enrolled with a few pictures:

    s2bnn-run enroll encoder.tflite pets.npz cat cat1.jpg cat2.jpg
    python classify.py --classes pets.npz new.jpg

python classify.py --selftest checks that this device computes what the host computed.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from embed import HERE, Encoder
from numpy.typing import NDArray
from s2bnn_runtime import PrototypeClassifier

# Float32 rounding differs between processors and flips a few signs; mistakes change far more.
SMALLEST_COSINE = 0.99


def main() -> int:
    """Do what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(description="Name what is in pictures.")
    parser.add_argument("pictures", nargs="*", type=Path, help="Picture files.")
    parser.add_argument("--classes", type=Path, help="Your classes, made by `s2bnn-run enroll`.")
    parser.add_argument("--top-k", type=int, default=3, help="How many to show. Default: 3.")
    parser.add_argument("--threads", type=int, default=1, help="Default: 1.")
    parser.add_argument("--selftest", action="store_true", help="Compare with the host's result.")
    options = parser.parse_args()
    encoder = Encoder(options.threads)
    if options.selftest:
        return selftest(encoder)
    if not options.pictures:
        parser.error("name pictures, or give --selftest")
    for picture in options.pictures:
        names, scores = classify(encoder(picture), options.classes)
        best = np.argsort(-scores)[: options.top_k]
        print(picture, "  ".join(f"{names[i]} {scores[i]:.3f}" for i in best))
    return 0


def classify(
    features: NDArray[np.float32], classes: Path | None
) -> tuple[list[str], NDArray[np.float32]]:
    """Return the class names, and a score for each: a probability, or a cosine for `classes`."""
    if classes is not None:
        classifier = PrototypeClassifier.load(classes)
        return list(classifier.counts), classifier.scores(features[np.newaxis])[0]
    if not (HERE / "classifier.npz").exists():
        raise ValueError("this bundle has no classes: enroll some, and name them with --classes")
    with np.load(HERE / "classifier.npz", allow_pickle=False) as arrays:
        logits = features @ arrays["kernel"] + arrays["bias"]
        exponents = np.exp(logits - logits.max())
        return arrays["class_names"].tolist(), exponents / exponents.sum()


def selftest(encoder: Encoder) -> int:
    """Compare with the host's result for the sample picture, and return the exit code."""
    expected = json.loads((HERE / "expected.json").read_text())
    features, wanted = encoder(HERE / expected["picture"]), np.array(expected["features"])
    cosine = features @ wanted / (np.linalg.norm(features) * np.linalg.norm(wanted))
    right = bool(cosine >= SMALLEST_COSINE)
    if right and expected["class"] is not None:
        names, scores = classify(features, None)
        right = names[int(scores.argmax())] == expected["class"]
    difference = float(np.abs(features - wanted).max())
    print(json.dumps({"ok": right, "cosine": float(cosine), "largest_difference": difference}))
    print("This device computes what the host computed." if right else "This device is WRONG.")
    return 0 if right else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as error:
        sys.exit(f"classify.py: {error}")
