"""What `s2bnn fit` makes of 600 crops of 25 photographs in 20 minutes, beside raw pixels.

    pip install scikit-image mahotas
    python benchmarks/fit_photographs.py --minutes 20

The photographs are those that scikit-image, scikit-learn, Matplotlib and mahotas ship. The result
goes to benchmarks/results/fit_photographs.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from s2bnn_tf.demo_pictures import cut_photographs

RESULTS = Path(__file__).parent / "results" / "fit_photographs.json"


def processor() -> str:
    """The name of the processor, as Linux gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()


def main() -> None:
    """Cut, fit, and write the numbers down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as temporary:
        pictures = cut_photographs(Path(temporary) / "crops")
        command = [sys.executable, "-m", "s2bnn_tf", "fit", f"{temporary}/crops", "--output-dir"]
        command += [f"{temporary}/fit", "--minutes", str(minutes), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    row = {
        "command": f"python benchmarks/fit_photographs.py --minutes {minutes:g}",
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "pictures": pictures,
        "minutes": found["minutes"],
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        **{name: found[name] for name in ("knn", "linear", "neighbors_kept", "rank")},
        "plan": found["plan"],
    }
    RESULTS.write_text(json.dumps(row, indent=2) + "\n")
    print(json.dumps(row, indent=2))


if __name__ == "__main__":
    main()
