"""Compare the memory that training is predicted to take with what it takes.

    python benchmarks/peak_memory.py [NAME...] [--steps 3] [--output FILE.json]

Each recipe is trained for three steps by `s2bnn train` in a process of its own, whose largest
resident memory the kernel reports when it ends. The prediction is that of `s2bnn summary`. What
is measured is kept in the file, so that the same command resumes where it was stopped.

The predictor has three constants. They are fitted here to all that is measured, and each recipe's
error is also given for constants that are fitted to the others alone. The file says which
constants would be best; those in s2bnn_tf/training/step_memory.py are changed by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "peak_memory.json"
CONFIGS = Path(__file__).parent.parent / "configs"
PHOTOGRAPHS = "data.source=PHOTOGRAPHS"
QUEUE = "objective.queue_size=600"  # as many as there are images
ALONE = ("student.init_from=null", "optimizer.warmup_epochs=0", "monitor.knn_every=0")

# The recipe, the changes to it, and the recipe of its teacher.
RECIPES: dict[str, tuple[str, tuple[str, ...], str | None]] = {
    "digits, teacher": ("digits/teacher.yaml", (), None),
    "digits, both losses": (
        "digits/contrastive_distillation_step2.yaml",
        (),
        "digits/teacher.yaml",
    ),
    "Fashion-MNIST, both losses": (
        "fashion_mnist/contrastive_distillation_step2.yaml",
        (),
        "fashion_mnist/teacher.yaml",
    ),
    "fit, 64 pixels": ("fit/regression_step1.yaml", (PHOTOGRAPHS,), "fit/teacher.yaml"),
    "ReActNet-A, both losses, 224 pixels, batch 32": (
        "imagenet/contrastive_distillation_step1.yaml",
        (PHOTOGRAPHS, QUEUE, "data.batch_size=32"),
        "imagenet/teacher.yaml",
    ),
    "ResNet-50, 224 pixels, batch 256 in 4 parts": (
        "imagenet/teacher.yaml",
        (PHOTOGRAPHS, QUEUE, "optimizer.accumulation_steps=4"),
        None,
    ),
    "ResNet-50, 224 pixels, batch 64": (
        "imagenet/teacher.yaml",
        (PHOTOGRAPHS, QUEUE, "data.batch_size=64"),
        None,
    ),
    "ResNet-50, 224 pixels, batch 128": (
        "imagenet/teacher.yaml",
        (PHOTOGRAPHS, QUEUE, "data.batch_size=128"),
        None,
    ),
    "ReActNet-A in bfloat16, distillation, 224 pixels, batch 32": (
        "imagenet/distillation_step1.yaml",
        (PHOTOGRAPHS, QUEUE, "data.batch_size=32", "precision=bfloat16"),
        "imagenet/teacher.yaml",
    ),
}


def changes_of(name: str, folder: Path) -> list[str]:
    """The changes to a recipe, with the images and the teacher below a folder."""
    _, changes, teacher = RECIPES[name]
    found = [c.replace("PHOTOGRAPHS", f"folder:{folder}/photographs") for c in changes]
    found += [f"teacher.weights={folder}/{teacher}"] if teacher else []
    return [*ALONE, *found]


def prepare(folder: Path) -> None:
    """Write the images, and the teachers with random weights."""
    from views import write_photographs  # beside this file; imports TensorFlow

    from s2bnn_tf.config import load_config
    from s2bnn_tf.runs import leave_untrained

    for teacher in {teacher for _, _, teacher in RECIPES.values() if teacher}:
        leave_untrained(load_config(CONFIGS / teacher), folder / teacher)
    (folder / "photographs").mkdir(parents=True)
    write_photographs(folder / "photographs", 600)


def predict(name: str, folder: Path) -> dict[str, float]:
    """Count the memory of a recipe in MiB, without the constants too."""
    from s2bnn_tf.config import load_config
    from s2bnn_tf.teachers import load_teacher
    from s2bnn_tf.training import count_step_memory, step_memory

    config = load_config(CONFIGS / RECIPES[name][0], changes_of(name, folder))
    started = time.process_time()
    teacher, data = None, config.data
    if config.teacher is not None:
        teacher = load_teacher(config.teacher, image_size=data.image_size, channels=data.channels)
    memory = count_step_memory(config, teacher=teacher)
    parts = memory.by_purpose()
    return {
        "operations": memory.operations,
        "weights": parts["weights"] / 2**20,
        "views": (parts["views"] + parts["images"]) / 2**20,
        "tensors": parts["tensors"] / step_memory._IDLE / 2**20,
        "processor_seconds_to_predict": round(time.process_time() - started, 1),
    }


def train(name: str, folder: Path, steps: int) -> dict[str, float]:
    """Train a few steps, and return the largest resident memory in MiB, and the time."""
    command = [sys.executable, "-m", "s2bnn_tf", "train", str(CONFIGS / RECIPES[name][0])]
    with tempfile.TemporaryDirectory() as run:
        command += ["--output-dir", f"{run}/run", "--set", f"steps={steps}"]
        for change in changes_of(name, folder):
            command += ["--set", change]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        # Where memory is short after all, the kernel ends this process and no other.
        Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name}: training ended with the status {status}.")
    return {
        "measured": usage.ru_maxrss / 1024,
        "steps": steps,
        "seconds": round(time.perf_counter() - started),
        "date": time.strftime("%Y-%m-%d"),
    }


def fit(rows: list[dict[str, float]]) -> np.ndarray:
    """The constants with the smallest squares of relative errors: MiB, MiB, and a factor."""
    measured = np.array([row["measured"] for row in rows])
    known = np.array([row["weights"] + row["views"] for row in rows])
    columns = np.array([[1.0, row["operations"], row["tensors"]] for row in rows])
    constants, *_ = np.linalg.lstsq(
        columns / measured[:, np.newaxis], (measured - known) / measured, rcond=None
    )
    return constants


def predicted(row: dict[str, float], constants: np.ndarray) -> float:
    """The memory of a recipe in MiB, with such constants."""
    program, an_operation, idle = constants
    fixed = program + an_operation * row["operations"] + row["weights"] + row["views"]
    return float(fixed + idle * row["tensors"])


def shipped_constants() -> np.ndarray:
    """The constants of the package."""
    from s2bnn_tf.training import step_memory

    mib = 2**20
    return np.array(
        [
            step_memory._PROGRAM_BYTES / mib,
            step_memory._BYTES_PER_OPERATION / mib,
            step_memory._IDLE,
        ]
    )


def report(rows: dict[str, dict[str, float]]) -> dict:
    """All rows with their errors, and the constants that would be best."""
    table, shipped = {}, shipped_constants()
    for name, row in rows.items():
        others = [other for key, other in rows.items() if key != name]
        error = predicted(row, shipped) / row["measured"] - 1
        table[name] = {**row, "predicted": round(predicted(row, shipped), 1)}
        table[name]["error_percent"] = round(100 * error, 1)
        if len(others) >= 4:
            alone = predicted(row, fit(others)) / row["measured"] - 1
            table[name]["error_percent_if_left_out"] = round(100 * alone, 1)
    found = {"recipes": table, "shipped_constants": shipped.tolist()}
    if len(rows) >= 4:
        found["best_constants"] = fit(list(rows.values())).tolist()
    return found


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    return f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores of {model}"


def here(*arguments: str) -> dict:
    """Run this script in another process, which may import TensorFlow, and read its last line."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure what is not measured yet, and write everything after each recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of recipes; those that are not measured yet")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--folder", type=Path, help="keep the images and the teachers there")
    parser.add_argument("--do", choices=["prepare", "predict", "report"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.do:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        if arguments.do == "report":
            print(json.dumps(report(json.loads(arguments.output.read_text())["recipes"])))
        elif arguments.do == "predict":
            found = {name: predict(name, arguments.folder) for name in arguments.names}
            print(json.dumps(found))
        else:
            prepare(arguments.folder)
            print("{}")
        return
    content = {"recipes": {}}
    if arguments.output.exists():
        content = json.loads(arguments.output.read_text())
    with contextlib.ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not (folder / "photographs").exists():
            here("--do", "prepare", "--folder", str(folder))
        for name in arguments.names or RECIPES:
            row = content["recipes"].get(name, {})
            if arguments.names or "measured" not in row:
                row = {**row, **train(name, folder, arguments.steps)}
                content["recipes"][name] = {**row, "processor": processor()}
                arguments.output.write_text(json.dumps(content, indent=2) + "\n")
                print(f"{name}: {row['measured']:,.0f} MiB after {row['seconds']} s", flush=True)
        measured = list(content["recipes"])
        for name, row in here("--do", "predict", *measured, "--folder", str(folder)).items():
            content["recipes"][name].update(row)
        arguments.output.write_text(json.dumps(content, indent=2) + "\n")
    content = here("--do", "report", "--output", str(arguments.output))
    content = {"command": "python benchmarks/peak_memory.py", "unit": "MiB", **content}
    arguments.output.write_text(json.dumps(content, indent=2) + "\n")
    for name, row in content["recipes"].items():
        print(f"{name}: {row['measured']:,.0f} MiB, predicted {row['predicted']:,.0f}")


if __name__ == "__main__":
    main()
