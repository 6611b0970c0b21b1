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
from embed import HERE
from numpy.typing import NDArray
from s2bnn_runtime import PrototypeClassifier
from s2bnn_runtime.few_shot import Embedder
from s2bnn_runtime.images import picture_files
from s2bnn_runtime.reading import read_arrays, read_json

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
    embedder = Embedder(HERE / "encoder.tflite", options.threads)
    if options.selftest:
        return selftest(embedder)
    if not options.pictures:
        parser.error("name pictures, or give --selftest")
    read, features, errors = embedder.readable(picture_files(options.pictures))
    for picture, row in zip(read, features):
        names, scores = classify(row, options.classes)
        best = np.argsort(-scores)[: options.top_k]
        print(picture, "  ".join(f"{names[i]} {scores[i]:.3f}" for i in best))
    for error in errors:
        print(f"classify.py: {error}", file=sys.stderr)
    return 1 if errors else 0


def classify(
    features: NDArray[np.float32], classes: Path | None
) -> tuple[list[str], NDArray[np.float32]]:
    """Return the class names, and a score for each: a probability, or a cosine for `classes`."""
    if classes is not None:
        classifier = PrototypeClassifier.load(classes)
        return list(classifier.counts), classifier.scores(features[np.newaxis])[0]
    if not (HERE / "classifier.npz").exists():
        raise ValueError("this bundle has no classes: enroll some, and name them with --classes")
    arrays = read_arrays(HERE / "classifier.npz")
    shapes = {name: array.shape for name, array in arrays.items()}
    count = arrays["class_names"].size if "class_names" in arrays else 0
    whole = {"kernel": (len(features), count), "bias": (count,), "class_names": (count,)}
    if not count or shapes != whole:
        raise ValueError("classifier.npz is damaged: copy the bundle again")
    logits = features @ arrays["kernel"] + arrays["bias"]
    exponents = np.exp(logits - logits.max())
    return arrays["class_names"].tolist(), exponents / exponents.sum()


def selftest(embedder: Embedder) -> int:
    """Compare with the host's results for the sample pictures, and return the exit code."""
    expected = read_json(HERE / "expected.json")
    cosines, differences, wrong = [], [], []
    for sample in (expected, *expected.get("others", [])):
        features = embedder([HERE / sample["picture"]])[0]
        wanted = np.array(sample["features"])
        cosine = features @ wanted / (np.linalg.norm(features) * np.linalg.norm(wanted))
        right = bool(cosine >= SMALLEST_COSINE)
        if right and sample["class"] is not None:
            names, scores = classify(features, None)
            right = names[int(scores.argmax())] == sample["class"]
        if not right:
            wrong.append(sample["picture"])
        cosines.append(float(cosine))
        differences.append(float(np.abs(features - wanted).max()))
    result = {"ok": not wrong, "cosine": min(cosines), "largest_difference": max(differences)}
    print(json.dumps(result))
    if wrong:
        print(f"This device is WRONG about {', '.join(wrong)}.")
        return 1
    print("This device computes what the host computed.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as error:
        sys.exit(f"classify.py: {error}")
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
