"""The verbs `s2bnn-run normal|inspect`: learn what is normal, and find what is not."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.errors import PictureError, S2bnnError, file_errors
from s2bnn_runtime.files import check_output
from s2bnn_runtime.heatmaps import free_names, write_heatmap
from s2bnn_runtime.images import picture_files
from s2bnn_runtime.normal import METHODS, Normal, learn, sample_of
from s2bnn_runtime.regions import Regions, describe, read_roi, read_tiles
from s2bnn_runtime.rows import Clock, Row, Rows, add_arguments, read_share
from s2bnn_runtime.stream import add_stream_arguments, add_verdict, arriving, check_recovery
from s2bnn_runtime.thresholds import choose_threshold
from s2bnn_runtime.verdicts import Verdicts

_MOST_BYTES = 2**28  # of the features of normal pictures, which are in memory together
_FALSE_ALARMS = 0.01
_WORDS = {True: "UNUSUAL", False: "normal"}
_NAMED = 3  # of the normal pictures with the highest scores


def add_verbs(verbs: Any) -> None:
    """Add the verbs, each with an example."""
    normal = verbs.add_parser(
        "normal",
        help="learn from normal pictures what is normal",
        epilog="example: s2bnn-run normal encoder.tflite normal.npz good-parts/",
    )
    add_arguments(normal, "model", "normal", "images")
    normal.add_argument(
        "--method",
        choices=list(METHODS),
        help="one Gaussian of whole pictures, or a memory of places, which needs a model with a "
        "map (default: patches if the model has a map)",
    )
    normal.add_argument(
        "--false-alarms",
        type=read_share,
        default=_FALSE_ALARMS,
        metavar="RATE",
        help="the share of further normal pictures that may be called unusual (default: "
        f"{_FALSE_ALARMS:g})",
    )
    normal.set_defaults(run=_normal)
    inspect = verbs.add_parser(
        "inspect",
        help="say how unusual each picture is",
        epilog="example: s2bnn-run inspect encoder.tflite normal.npz parts/ --heatmap where/",
    )
    add_arguments(inspect, "model", "normal")
    add_stream_arguments(inspect)
    inspect.add_argument(
        "--heatmap", type=Path, metavar="DIR", help="write a picture of where into this folder"
    )
    inspect.set_defaults(run=_inspect)
    for verb in (normal, inspect):
        verb.add_argument(
            "--roi",
            type=read_roi,
            metavar="X,Y,W,H",
            help="look at this part alone, in pixels of the upright picture",
        )
        verb.add_argument(
            "--tiles",
            type=read_tiles,
            metavar="N",
            help="look at N by N parts one by one, for defects that are small in the picture",
        )


def _normal(options: argparse.Namespace) -> Rows:
    check_output(options.normal)
    files = picture_files(options.images)
    embedder = Embedder(options.model)
    method = options.method or ("patches" if embedder.has_map else "gaussian")
    regions = Regions(options.roi, options.tiles or 1)
    samples: list[NDArray[np.float32]] = []
    read: list[Path] = []
    errors: list[Row] = []
    stride = 1
    for number, path in enumerate(files):
        if number % stride:
            continue
        try:
            sample = sample_of(method, embedder.see(path, regions))
        except PictureError as error:
            errors.append(Row.of_error(path, error))
            continue
        if not samples:  # of so many pictures that they do not fit, evenly spread ones are used
            stride = -(-len(files) * sample.nbytes // _MOST_BYTES)
        samples.append(sample)
        read.append(path)
    if not samples:
        raise S2bnnError("; ".join(str((row.record or {})["error"]) for row in errors[:3]))
    yield from errors
    normal, kept = learn(
        samples,
        method,
        regions=regions,
        space=embedder.space,
        false_alarms=options.false_alarms,
    )
    normal.save(options.normal)
    highest = [read[kept[i]] for i in np.argsort(-normal.held_out, kind="stable")[:_NAMED]]
    record = {
        "normal": str(options.normal),
        "method": method,
        "pictures": len(files),
        "read": len(read),
        "different": len(kept),
        "false_alarms": normal.false_alarms,
        "threshold": normal.threshold,
        "most_unusual": [str(path) for path in highest],
    }
    first, *more = _describe(record)
    yield Row(record, first)
    yield from (Row(None, line) for line in more)


def _describe(record: dict[str, Any]) -> list[str]:
    rate, count = record["false_alarms"], record["different"]
    lines = [
        f"{record['normal']}: {count} different pictures of {record['pictures']}, method "
        f"{record['method']}, unusual above {record['threshold']:.4g} ({100 * rate:g} % false "
        "alarms)"
    ]
    if count * rate < 1:
        lines.append(
            f"So few pictures do not show that rate: the threshold is extrapolated. From "
            f"{round(1 / rate)} on they do."
        )
    lines += ["The most unusual of them, which should be normal:", *record["most_unusual"]]
    return lines


def _inspect(options: argparse.Namespace) -> Rows:
    files = arriving(options)
    normal = Normal.load(options.normal)
    embedder = Embedder(options.model)
    _check(options, normal, embedder)
    lower = normal.threshold  # of two, below which a picture is usual again
    if options.recover is not None:
        lower = min(choose_threshold(normal.held_out, options.recover), lower)
    verdicts = options.agree and Verdicts(options.agree)
    threshold = normal.threshold
    for path, heatmap in _with_heatmaps(options, files):
        clock = Clock()
        try:
            seen = embedder.see(path, normal.regions)
        except PictureError as error:
            yield Row.of_error(path, error)
            continue
        heat = normal.heat(seen)
        score = float(heat.max())
        record: dict[str, Any] = {
            "path": str(path),
            "score": score,
            "threshold": threshold,
            "unusual": score > threshold,
            "false_alarms": normal.false_alarms,
        }
        if heatmap is not None:
            write_heatmap(heatmap, seen.parts, normal.regions, heat, normal.threshold)
            record["heatmap"] = str(heatmap)
        record["milliseconds"] = clock.lap()
        threshold = lower if record["unusual"] else normal.threshold
        text = f"{score:9.4g}  {_WORDS[record['unusual']]:7}  {path}"
        if add_verdict(record, verdicts, record["unusual"]):
            text += f"  -> {_WORDS[record['verdict']]}"
        yield Row(record, text)


def _with_heatmaps(
    options: argparse.Namespace, files: Iterable[Path]
) -> Iterable[tuple[Path, Path | None]]:
    """Each picture and the file of its heat map, if they are asked for."""
    if options.heatmap is None:
        return ((path, None) for path in files)
    watched = options.watch and options.watch.resolve()
    if watched and watched in (options.heatmap.resolve(), *options.heatmap.resolve().parents):
        raise S2bnnError(
            f"the heat maps in {options.heatmap} would arrive in the watched folder; choose a "
            "folder outside of it"
        )
    with file_errors():
        options.heatmap.mkdir(parents=True, exist_ok=True)
    return free_names(options.heatmap, files)


def _check(options: argparse.Namespace, normal: Normal, embedder: Embedder) -> None:
    if normal.space != embedder.space:
        raise S2bnnError(
            f"{options.normal} was learned with another model than {options.model}; learn again "
            "with `s2bnn-run normal`"
        )
    if options.roi not in (None, normal.regions.roi):
        raise S2bnnError(
            f"{options.normal} was learned with --roi {describe(normal.regions.roi)}, not "
            f"{describe(options.roi)}; leave --roi away, or learn again"
        )
    if options.tiles not in (None, normal.regions.tiles):
        raise S2bnnError(
            f"{options.normal} was learned with --tiles {normal.regions.tiles}, not "
            f"{options.tiles}; leave --tiles away, or learn again"
        )
    check_recovery(options.recover, normal.false_alarms)
    if options.heatmap is not None and normal.method == "gaussian" and normal.regions.tiles == 1:
        raise S2bnnError(
            f"{options.normal} tells whole pictures apart and not places; for --heatmap, learn "
            "with --method patches or with --tiles"
        )
