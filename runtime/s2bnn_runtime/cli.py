"""The command `s2bnn-run`: what is in these images, and how fast."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_runtime.delegate import kernels, read_profile
from s2bnn_runtime.few_shot import VERBS, add_verbs, run_verb
from s2bnn_runtime.files import open_model, read_labels, sentence
from s2bnn_runtime.hosts import MODULES, find_host
from s2bnn_runtime.images import PictureError, Preprocessing, load_image, picture_files
from s2bnn_runtime.interpreter import Interpreter

PROFILE = "s2bnn-run"


def main(arguments: list[str] | None = None) -> int:
    """Entry point. Returns the exit code; a user's mistake is one sentence on standard error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    few_shot = bool(arguments) and arguments[0] in VERBS
    options = (_few_shot_parser() if few_shot else _parser()).parse_args(arguments)
    try:
        if few_shot:
            print(run_verb(options))
            return 0
        result = run(options)
    except (OSError, KeyError, ValueError, RuntimeError, ImportError) as error:
        print(f"s2bnn-run: {sentence(error)}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(result))
    else:
        _print(result)
    errors = [image["error"] for image in result.get("images", []) if "error" in image]
    for error in errors:
        print(f"s2bnn-run: {error}", file=sys.stderr)
    return 1 if errors else 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Does what the command line says; the result is what `--json` prints."""
    if not options.images and not (options.benchmark or options.profile):
        raise ValueError("nothing to do: name images, or ask for --benchmark or --profile")
    labels = read_labels(options.labels) if options.labels else None
    host = find_host(options.host)
    profile = PROFILE if options.profile else None
    interpreter = open_model(options.model, options.threads, host=host, kernels=options.kernels, profile=profile)
    result: dict[str, Any] = {
        "model": str(options.model),
        "host": host.name,
        "kernels": options.kernels or kernels(),
        "threads": options.threads,
    }
    if options.images:
        result["images"] = [_try(interpreter, path, options, labels) for path in picture_files(options.images)]
    if options.benchmark or options.profile:
        result["benchmark"] = _benchmark(interpreter, options.runs)
    if options.profile:
        result["profile"] = read_profile(PROFILE)
    return result


def _few_shot_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="s2bnn-run", description="Classes of one's own, without training.")
    add_verbs(parser)
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="s2bnn-run",
        description="Run a Larq Compute Engine .tflite on this machine.",
        epilog="example: s2bnn-run quicknet.tflite cat.jpg --labels imagenet.txt --preprocessing imagenet -- "
        f"classes of one's own, by a few pictures each: s2bnn-run {'|'.join(VERBS)} --help",
    )
    parser.add_argument("model", type=Path, help="a .tflite file")
    parser.add_argument("images", type=Path, nargs="*", help="pictures to classify, or folders of them")
    parser.add_argument("--labels", type=Path, help="text file, one class a line")
    parser.add_argument("--top-k", type=_positive, default=5, metavar="K", help="how many classes to show (default 5)")
    parser.add_argument(
        "--preprocessing",
        choices=[p.value for p in Preprocessing],
        default=Preprocessing.RAW.value,
        help="what the model expects: RGB of 0 to 255 (raw), of -1 to 1 (symmetric), or normalized by the mean and "
        "deviation of ImageNet (imagenet); default raw",
    )
    parser.add_argument(
        "--threads", type=_positive, default=1, metavar="N", help="threads of one prediction (default 1)"
    )
    parser.add_argument("--benchmark", action="store_true", help="time predictions on random input")
    parser.add_argument("--profile", action="store_true", help="time each step of the binary part too")
    parser.add_argument("--runs", type=_positive, default=50, metavar="N", help="timed predictions (default 50)")
    parser.add_argument("--kernels", help="force kernels: reference, portable, or an instruction set's")
    parser.add_argument(
        "--host", choices=list(MODULES), help="TFLite interpreter to use (default: the first installed)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is needed, not {text!r}")
    return int(text)


def _try(interpreter: Interpreter, path: Path, options: argparse.Namespace, labels: list[str] | None) -> dict[str, Any]:
    """As `_classify`; a picture that cannot be read does not keep the others from being classified."""
    try:
        return _classify(interpreter, path, options, labels)
    except (PictureError, OSError) as error:
        return {"path": str(path), "error": sentence(error)}


def _classify(
    interpreter: Interpreter, path: Path, options: argparse.Namespace, labels: list[str] | None
) -> dict[str, Any]:
    details = interpreter.input_details
    if len(details) != 1 or len(details[0]["shape"]) != 4 or details[0]["shape"][3] != 3:
        raise ValueError("the model does not take one RGB image; use s2bnn_runtime.Interpreter from Python")
    image = load_image(path, details[0], Preprocessing(options.preprocessing))
    scores = interpreter.predict(image)
    if isinstance(scores, list) or scores.ndim != 2:
        raise ValueError("the model does not return one score per class; use s2bnn_runtime.Interpreter from Python")
    best = np.argsort(-scores[0], kind="stable")[: options.top_k]
    if labels is not None and len(labels) != scores.shape[1]:
        raise ValueError(
            f"{options.labels} has {len(labels)} lines, the model {scores.shape[1]} classes; labels are one line for each class"
        )
    classes = [{"class": int(i), "label": labels[i] if labels else None, "score": float(scores[0, i])} for i in best]
    return {"path": str(path), "top": classes}


def _benchmark(interpreter: Interpreter, runs: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=d["shape"]).astype(d["dtype"]) for d in interpreter.input_details]
    for _ in range(3):
        interpreter.predict(*inputs)
    milliseconds = []
    for _ in range(runs):
        start = time.perf_counter()
        interpreter.predict(*inputs)
        milliseconds.append(1e3 * (time.perf_counter() - start))
    return {
        "runs": runs,
        "median_ms": statistics.median(milliseconds),
        "min_ms": min(milliseconds),
        "max_ms": max(milliseconds),
    }


def _print(result: dict[str, Any]) -> None:
    print(f"{result['model']}: {result['host']}, {result['kernels']} kernels, {result['threads']} thread(s)")
    for image in result.get("images", []):
        if "error" in image:
            continue
        print(image["path"])
        for entry in image["top"]:
            print(f"  {entry['score']:9.4f}  {entry['label'] or entry['class']}")
    if "benchmark" in result:
        b = result["benchmark"]
        print(f"median {b['median_ms']:.2f} ms of {b['runs']} runs ({b['min_ms']:.2f} to {b['max_ms']:.2f})")
    if "profile" in result:
        _print_profile(result["profile"], result["benchmark"]["median_ms"])


def _print_profile(partitions: list[list[dict[str, Any]]], total: float) -> None:
    print("      ms  GMAC/s  step, output")
    for step in (step for partition in partitions for step in partition):
        speed = step["binary_macs"] / step["milliseconds"] / 1e6 if step["milliseconds"] > 0 else 0
        rate = f"{speed:7.0f}" if speed else " " * 7
        print(f"{step['milliseconds']:8.3f} {rate}  {step['name']}, {'x'.join(map(str, step['shape']))}")
    ours = sum(step["milliseconds"] for partition in partitions for step in partition)
    print(f"{max(total - ours, 0):8.3f}          the host's own operations and the copies in and out")
