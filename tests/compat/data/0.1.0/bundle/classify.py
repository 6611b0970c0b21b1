"""Name what is in pictures: python classify.py cat.jpg photos/*.jpg

The classes are those of classifier.npz, or your own, enrolled by a few pictures each:

    s2bnn-run enroll encoder.tflite pets.npz cat cat1.jpg cat2.jpg
    python classify.py --classes pets.npz new.jpg

python classify.py --selftest says whether this device computes what the host computed.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from embed import HERE, Encoder
from s2bnn_runtime import PrototypeClassifier

# Rounding of float32 differs between processors and flips a few signs; other mistakes are larger.
SMALLEST_COSINE = 0.99


def main() -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description="Name what is in pictures.")
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--classes", type=Path, help="your own classes, of `s2bnn-run enroll`")
    parser.add_argument("--top-k", type=int, default=3, help="how many to show (default 3)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--selftest", action="store_true", help="compare with the host's result")
    options = parser.parse_args()
    encoder = Encoder(options.threads)
    if options.selftest:
        return selftest(encoder)
    if not options.pictures:
        parser.error("name pictures, or --selftest")
    for picture in options.pictures:
        names, scores = classify(encoder(picture), options.classes)
        best = np.argsort(-scores)[: options.top_k]
        print(picture, "  ".join(f"{names[i]} {scores[i]:.3f}" for i in best))
    return 0


def classify(features: np.ndarray, classes: Path | None) -> tuple[list[str], np.ndarray]:
    """Class names, and the score of each for features (C,): a probability, or a cosine."""
    if classes is not None:
        classifier = PrototypeClassifier.load(classes)
        return list(classifier.counts), classifier.scores(features[np.newaxis])[0]
    if not (HERE / "classifier.npz").exists():
        raise ValueError("this bundle has no classes of its own: enroll some, and name --classes")
    with np.load(HERE / "classifier.npz", allow_pickle=False) as arrays:
        logits = features @ arrays["kernel"] + arrays["bias"]
        exponents = np.exp(logits - logits.max())
        return arrays["class_names"].tolist(), exponents / exponents.sum()


def selftest(encoder: Encoder) -> int:
    """Compare with what the host computed for the sample picture; returns the exit code."""
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
