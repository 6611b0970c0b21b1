"""What `s2bnn fit` makes of real pictures in a given time, beside raw pixels and its teacher.

    pip install scikit-image mahotas
    python benchmarks/fit.py photographs --minutes 20

    apt-get install dataset-fashion-mnist
    python benchmarks/fit.py fashion_mnist --minutes 20

    apt-get install openclipart-png
    python benchmarks/fit.py clipart --minutes 20

`photographs` are 600 crops of the 25 photographs that scikit-image, scikit-learn, Matplotlib and
mahotas ship. The results go to benchmarks/results/fit.json, one entry for each set of pictures.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from s2bnn_tf.demo_pictures import cut_photographs

RESULTS = Path(__file__).parent / "results" / "fit.json"
FOLDERS = {
    "fashion_mnist": "idx:/usr/share/datasets/fashion-mnist",
    "clipart": "/usr/share/openclipart/png",
}


def processor() -> str:
    """The name of the processor, as Linux gives it, with the number of cores."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(': ')[2]}, {os.cpu_count()} cores"
    return platform.machine()


def place(name: str, temporary: Path) -> str:
    """Where the pictures are, as the command line of `fit` takes it."""
    if name == "photographs":
        cut_photographs(temporary / "crops")
    return FOLDERS.get(name, str(temporary / "crops"))


def main() -> None:
    """Fit, and write the numbers down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", choices=["photographs", *FOLDERS])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--folder", help="Where the pictures are, if not at their usual place.")
    parser.add_argument("--teacher", help="As for `s2bnn fit`; by default, one is trained.")
    parser.add_argument("--output-dir", help="Where the fit is kept, and resumed if it is there.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        source = options.folder or place(options.pictures, Path(temporary))
        command = [sys.executable, "-m", "s2bnn_tf", "fit", source, "--json"]
        command += ["--minutes", f"{options.minutes:g}"]
        command += ["--output-dir", options.output_dir or f"{temporary}/fit"]
        command += ["--teacher", options.teacher] if options.teacher else []
        command += [word for change in options.overrides for word in ("--set", change)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    row = {
        "command": f"python benchmarks/fit.py {options.pictures} --minutes {options.minutes:g}"
        + (f" --teacher {options.teacher}" if options.teacher else "")
        + "".join(f" --set {change}" for change in options.overrides),
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "minutes": found["minutes"],
        "processor_minutes": round((used.ru_utime + used.ru_stime) / 60, 2),
        "peak_memory_mib": used.ru_maxrss // 1024,
        **{name: found[name] for name in ("knn", "linear", "neighbors_kept", "rank", "plan")},
    }
    print(json.dumps(row, indent=2))
    if not options.overrides:
        rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        name = f"{options.pictures} by {options.teacher}" if options.teacher else options.pictures
        RESULTS.write_text(json.dumps({**rows, name: row}, indent=2) + "\n")


if __name__ == "__main__":
    main()
