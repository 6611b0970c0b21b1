"""The command `s2bnn-run`: which classes images show, and how fast a model is."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_runtime.delegate import kernels, read_profile
from s2bnn_runtime.errors import PictureError, S2bnnError
from s2bnn_runtime.files import open_model, read_labels
from s2bnn_runtime.hosts import MODULES, find_host
from s2bnn_runtime.images import Preprocessing, load_image, picture_files, takes_a_picture
from s2bnn_runtime.interpreter import Interpreter
from s2bnn_runtime.machine import describe_machine
from s2bnn_runtime.rows import read_count
from s2bnn_runtime.starter import read_model
from s2bnn_runtime.verbs import VERBS, make_parser, run_verb

PROFILE = "s2bnn-run"
_INTERRUPTED = 130  # the exit status after Ctrl-C, as of other programs
FROM_PYTHON = "use s2bnn_runtime.Interpreter from Python"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments after the program's name; defaults to those of the process.

    Returns:
        The exit status: 1 if the user made a mistake, which is one sentence on standard error.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    is_verb = bool(arguments) and arguments[0] in VERBS
    try:
        if not is_verb:
            _check_model_or_verb(arguments)
        options = (make_parser() if is_verb else _parser()).parse_args(arguments)
        failed = _print_rows(options) if is_verb else _print_result(options)
    except S2bnnError as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of the output has left, as `| head` does
        _leave_output()
        return 1
    except OSError as error:  # of a path that cannot even be looked at, such as one too long
        if error.filename is None:
            raise
        _complain(f"{error.filename}: {error.strerror}")
        return 1
    return 1 if failed else 0


def _check_model_or_verb(arguments: list[str]) -> None:
    """Check that the first word, which should be a model, is no misspelt verb.

    Raises:
        S2bnnError: If there is no such file, but a verb that is spelt nearly so.
    """
    word = arguments[0] if arguments else ""
    near = difflib.get_close_matches(word, VERBS, 1, 0.7)
    if near and not os.path.lexists(word):
        raise S2bnnError(f"there is no verb {word!r}; did you mean {near[0]}?")


def _print_rows(options: argparse.Namespace) -> bool:
    """Run a verb and print its rows as they come; return whether a picture could not be read."""
    failed = False
    for row in run_verb(options):
        if options.json and row.record is not None:
            _say(json.dumps(row.record, allow_nan=False))
        elif not options.json and row.text:
            _say(row.text)
        if row.record is not None and "error" in row.record:
            _complain(row.record["error"])
            failed = True
    return failed


def _print_result(options: argparse.Namespace) -> bool:
    """Run a model, and print; return whether a picture could not be read."""
    result = run(options)
    if options.json:
        _say(json.dumps(result, allow_nan=False))
    else:
        _print(result)
    errors = [image["error"] for image in result.get("images", []) if "error" in image]
    for message in errors:
        _complain(message)
    return bool(errors)


def _say(line: str) -> None:
    """Print a line on standard output.

    Raises:
        S2bnnError: If that is a file on a full disk.
        BrokenPipeError: If its reader has left.
    """
    try:
        print(printable(line), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _leave_output()
        raise S2bnnError(f"the output cannot be written ({error.strerror})") from error


def _leave_output() -> None:
    """Discard what could not be written, since Python would try to write it again as it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str) -> None:
    print(f"s2bnn-run: {printable(message)}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Replace control characters and bytes that are not UTF-8 by their escapes.

    A terminal would obey an escape sequence in a name, and could not show the bytes at all.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the model as the options say.

    Returns:
        The object that `--json` prints.

    Raises:
        S2bnnError: If the user made a mistake.
    """
    if not options.images and not (options.benchmark or options.profile):
        raise S2bnnError("nothing to do: name images, or use --benchmark or --profile")
    labels = read_labels(options.labels) if options.labels else None
    host = find_host(options.host)
    profile = PROFILE if options.profile else None
    interpreter = open_model(
        options.model, options.threads, host=host, kernels=options.kernels, profile=profile
    )
    result: dict[str, Any] = {
        "model": str(options.model),
        "host": host.name,
        "kernels": options.kernels or kernels(),
        "threads": options.threads,
    }
    if options.images:
        paths = picture_files(options.images)
        result["images"] = [_try(interpreter, path, options, labels) for path in paths]
    if options.benchmark or options.profile:
        result["machine"] = describe_machine()
        result["benchmark"] = _benchmark(interpreter, options.runs)
    if options.profile:
        result["profile"] = read_profile(PROFILE)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="s2bnn-run",
        description="Run a Larq Compute Engine .tflite on this machine.",
        epilog="example: s2bnn-run quicknet.tflite cat.jpg --labels imagenet.txt --preprocessing "
        "imagenet -- For your own classes, from a few pictures each: s2bnn-run "
        f"{'|'.join(VERBS)} --help",
    )
    add = parser.add_argument
    add("model", type=read_model, help="a .tflite file")
    add("images", type=Path, nargs="*", help="pictures to classify, or folders of them")
    add("--labels", type=Path, help="a text file with one class per line")
    add(
        "--top-k",
        type=read_count,
        default=5,
        metavar="K",
        help="how many classes to show (default: 5)",
    )
    add(
        "--preprocessing",
        choices=[p.value for p in Preprocessing],
        default=Preprocessing.RAW.value,
        help="the RGB values that the model expects: 0 to 255 (raw), -1 to 1 (symmetric), or "
        "normalized by the mean and deviation of ImageNet (imagenet); default: raw",
    )
    add(
        "--threads",
        type=read_count,
        default=1,
        metavar="N",
        help="the number of threads for one prediction (default: 1)",
    )
    add("--benchmark", action="store_true", help="time predictions on random input")
    add("--profile", action="store_true", help="also time each step of the binary part")
    add(
        "--runs",
        type=read_count,
        default=50,
        metavar="N",
        help="how many predictions to time (default: 50)",
    )
    add("--kernels", help="force kernels: reference, portable, or those of an instruction set")
    add(
        "--host",
        choices=list(MODULES),
        help="the TFLite interpreter to use (default: the first installed)",
    )
    add("--json", action="store_true", help="print one JSON object, not text")
    return parser


def _try(
    interpreter: Interpreter, path: Path, options: argparse.Namespace, labels: list[str] | None
) -> dict[str, Any]:
    """Classify a picture. One that cannot be read does not stop the others."""
    try:
        return _classify(interpreter, path, options, labels)
    except PictureError as error:
        return {"path": str(path), "error": str(error)}


def _classify(
    interpreter: Interpreter, path: Path, options: argparse.Namespace, labels: list[str] | None
) -> dict[str, Any]:
    details = interpreter.input_details
    if not takes_a_picture(details):
        raise S2bnnError(f"the model does not take one RGB or gray image; {FROM_PYTHON}")
    image = load_image(path, details[0], Preprocessing(options.preprocessing))
    scores = interpreter.predict(image)
    if isinstance(scores, list) or scores.ndim != 2:
        raise S2bnnError(f"the model does not return one score per class; {FROM_PYTHON}")
    if not np.isfinite(scores).all():
        raise PictureError(f"{path} gives numbers that are not finite; convert the model again")
    best = np.argsort(-scores[0], kind="stable")[: options.top_k]
    if labels is not None and len(labels) != scores.shape[1]:
        raise S2bnnError(
            f"{options.labels} has {len(labels)} lines, the model {scores.shape[1]} classes; "
            "labels are one line for each class"
        )
    classes = [
        {"class": int(i), "label": labels[i] if labels else None, "score": float(scores[0, i])}
        for i in best
    ]
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
    threads = "1 thread" if result["threads"] == 1 else f"{result['threads']} threads"
    _say(f"{result['model']}: {result['host']}, {result['kernels']} kernels, {threads}")
    for image in result.get("images", []):
        if "error" in image:
            continue
        _say(image["path"])
        for entry in image["top"]:
            _say(f"  {entry['score']:9.4f}  {entry['label'] or entry['class']}")
    if "benchmark" in result:
        b = result["benchmark"]
        span = f"{b['min_ms']:.2f} to {b['max_ms']:.2f}"
        _say(f"median {b['median_ms']:.2f} ms of {b['runs']} runs ({span})")
    if "profile" in result:
        _print_profile(result["profile"], result["benchmark"]["median_ms"])


def _print_profile(partitions: list[list[dict[str, Any]]], total: float) -> None:
    _say("      ms  GMAC/s  step, output")
    for step in (step for partition in partitions for step in partition):
        speed = step["binary_macs"] / step["milliseconds"] / 1e6 if step["milliseconds"] > 0 else 0
        rate = f"{speed:7.0f}" if speed else " " * 7
        shape = "x".join(map(str, step["shape"]))
        _say(f"{step['milliseconds']:8.3f} {rate}  {step['name']}, {shape}")
    ours = sum(step["milliseconds"] for partition in partitions for step in partition)
    host = max(total - ours, 0)
    _say(f"{host:8.3f}          the host's own operations and copying inputs and outputs")
