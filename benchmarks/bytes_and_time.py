"""When is 1 bit worth it? A linear probe against bytes and milliseconds, on Fashion-MNIST.

    apt-get install dataset-fashion-mnist
    s2bnn train configs/fashion_mnist/teacher.yaml --output-dir runs/fashion_mnist/teacher
    python benchmarks/bytes_and_time.py --teacher runs/fashion_mnist/teacher --steps 400
    python benchmarks/bytes_and_time.py --steps 400 --time --instructions

ReActNet, BNext, and QuickNet in three widths each, their real-valued twins, and MobileNetV2 learn
the same teacher's features by the same recipe (regression), in the same number of steps: a 1-bit
network half of them in each of its two steps, all others in one. 1-bit networks become files of
Larq Compute Engine, the others int8. The files themselves are measured: bytes, and a linear probe
that is fitted to 10,000 training images.

The first command resumes: a network with numbers in the JSON file is left out, and an unfinished
run continues. `--only NAME...` takes a part of them. The second one measures the files that are
there: with `--time`, the median latency of each on one thread of this machine, all in one run; with
`--instructions`, the instructions of an image on ARM, and the cycles of a Cortex-A72, as
runtime/benchmarks/arm.py counts and models them. Each command draws
docs/images/bytes_and_time.svg.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from fit import processor

from s2bnn_tf.evaluation import evaluate_linear
from s2bnn_tf.files import write_json

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "configs" / "fashion_mnist"
SOURCE = "idx:/usr/share/datasets/fashion-mnist"
RESULTS = ROOT / "benchmarks" / "results" / "bytes_and_time.json"
PICTURE = ROOT / "docs" / "images" / "bytes_and_time.svg"
PROBED = 10_000  # images of each split, at most
CORE = "cortex-a72"


class Network(NamedTuple):
    """A backbone at a width, at the small stem."""

    backbone: str
    width: float
    bits: int  # of a weight in the file

    @property
    def name(self) -> str:
        return f"{self.backbone}-{self.width:g}"


BINARY = ("reactnet", "bnext", "quicknet_small")
WIDTHS = (0.125, 0.25, 0.5)
NETWORKS = {
    network.name: network
    for network in (
        *(Network(name, width, 1) for name in BINARY for width in WIDTHS),
        *(Network(f"{name}_real", width, 8) for name in BINARY for width in WIDTHS),
        *(Network("mobilenet_v2", width, 8) for width in (0.1, 0.25, 0.5)),
    )
}


def main() -> None:
    """Train, convert, and measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, required=True, help="Of training, per network.")
    parser.add_argument("--teacher", type=Path, help="A run, to train what is missing.")
    parser.add_argument("--time", action="store_true", help="Measure latencies, all in one run.")
    parser.add_argument("--instructions", action="store_true", help="Count those of ARM.")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--source", default=SOURCE)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="For all runs.")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "runs" / "bytes_and_time")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    known = json.loads(options.results.read_text()) if options.results.exists() else {}
    rows = known.setdefault(f"{options.steps} steps", {})
    if options.teacher:
        for name in options.only:
            if name not in rows:
                rows[name] = measure(NETWORKS[name], options)
                write_json(options.results, known)
    for wanted, more in ((options.time, latency), (options.instructions, instructions)):
        for name in rows if wanted else ():
            rows[name] |= more(folder_of(NETWORKS[name], options) / "model.tflite")
            write_json(options.results, known)
    draw(rows, options.picture)
    print(as_text(rows))


def folder_of(network: Network, options: argparse.Namespace) -> Path:
    """The directory of a network's runs and file."""
    return options.output_dir.resolve() / f"{options.steps}_steps" / network.name


def measure(network: Network, options: argparse.Namespace) -> dict:
    """Make a network and its file, and measure how good it is."""
    folder = folder_of(network, options)
    folder.mkdir(parents=True, exist_ok=True)
    run = train(network, folder, options)
    model = folder / "model.tflite"
    card = s2bnn("convert", run, model, *(["--int8"] if network.bits == 8 else []))
    return {
        "bytes": card["size_bytes"],
        "linear": evaluate_linear(model, options.source, most=PROBED)["top1"],
        "cosine_with_keras": card["parity"]["cosine_mean"],
        "date": datetime.date.today().isoformat(),
    }


def latency(model: Path) -> dict:
    """The median latency of a file on one thread."""
    time = s2bnn("benchmark", model, "--threads", 1)
    return {
        "milliseconds": time["latency_ms"]["median"],
        "runtime": time["engine"],
        "kernel": time["kernel"],
        "processor": processor(),
    }


def instructions(model: Path) -> dict:
    """The instructions of an image on ARM, and the cycles by a model of CORE."""
    script = ROOT / "runtime" / "benchmarks" / "arm.py"
    command = [sys.executable, str(script), "--json", "--files", str(model)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    (counted,) = json.loads(done.stdout.splitlines()[-1])["networks"].values()
    return {"instructions": counted["instructions"], "cycles": counted["cycles"][CORE]}


def draw(rows: dict[str, dict], path: Path) -> None:
    """Draw the linear probes against what a file costs: a line for each backbone."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    axes_of = {
        "bytes": ("KiB", 1024),
        "milliseconds": ("ms on one x86 thread", 1),
        "instructions": ("million ARM instructions", 1e6),
    }
    kinds = dict.fromkeys(NETWORKS[name].backbone for name in rows)
    families = list(dict.fromkeys(kind.split("_")[0] for kind in kinds))
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for axes, (key, (label, unit)) in zip(figure.subplots(1, 3, sharey=True), axes_of.items()):
        for kind in kinds:
            found = [r for n, r in rows.items() if NETWORKS[n].backbone == kind and key in r]
            points = [(row[key] / unit, 100 * row["linear"]) for row in found]
            one_bit = kind in BINARY
            axes.plot(
                *zip(*points),
                color=f"C{families.index(kind.split('_')[0])}",
                marker="o" if one_bit else "s",
                linestyle="-" if one_bit else ":",
                fillstyle="full" if one_bit else "none",
                label=f"{kind.removesuffix('_real')}, {'1 bit' if one_bit else 'int8'}",
            )
        axes.set(xscale="log", xlabel=label)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("linear probe, %")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right")
    with mpl.rc_context({"svg.hashsalt": "s2bnn"}):  # the same rows, the same bytes
        figure.savefig(path, metadata={"Date": None})


def train(network: Network, folder: Path, options: argparse.Namespace) -> Path:
    """Train a network by regression on the teacher's features, and return its last run."""
    parts = ("step1", "step2") if network.bits == 1 else ("step1",)
    before: Path | None = None
    for part in parts:
        given = [*settings(network, part, options), f"steps={options.steps // len(parts)}"]
        given += [f"teacher.weights={options.teacher.resolve()}"]
        given += [f"student.init_from={before}"] if before else []
        run = folder / part
        recipe = RECIPES / f"regression_{part}.yaml"
        s2bnn("train", recipe, "--output-dir", run, *sets(given), as_json=False)
        before = run
    assert before is not None
    return before


def settings(network: Network, part: str, options: argparse.Namespace) -> list[str]:
    """The settings that make a recipe one of this network."""
    binary = json.dumps(None if network.bits == 8 else part == "step2")
    kernels = "small_positive" if network.backbone == "reactnet" else "null"
    return [
        f"data.source={options.source}",
        f"student.backbone={network.backbone}",
        f"student.width={network.width}",
        f"student.binarize_weights={binary}",
        f"student.kernel_initializer={kernels}",
        *options.set,
    ]


def sets(given: list[str]) -> list[str]:
    return [word for setting in given for word in ("--set", setting)]


def s2bnn(*words: object, as_json: bool = True) -> dict:
    """Run a command of the package, and return its JSON if it has some."""
    command = [sys.executable, "-m", "s2bnn_tf", *map(str, words), *(["--json"] * as_json)]
    print("==", " ".join(command[2:]), file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) if as_json else {}


def as_text(rows: dict[str, dict]) -> str:
    """The rows as a Markdown table, the smallest file first."""
    lines = [
        "| network | weights | KiB | ms | ARM, M instructions | A72, M cycles | linear |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in sorted(rows.items(), key=lambda item: item[1]["bytes"]):
        cells = [
            f"`{name}`",
            "1 bit" if NETWORKS[name].bits == 1 else "int8",
            f"{row['bytes'] / 1024:.0f}",
            f"{row['milliseconds']:.2f}" if "milliseconds" in row else "",
            *(f"{row[k] / 1e6:.1f}" if k in row else "" for k in ("instructions", "cycles")),
            f"{100 * row['linear']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
