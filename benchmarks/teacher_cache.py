r"""What stored targets of a teacher save and cost, and what centering them changes.

    s2bnn teachers get efficientnet_lite0
    pip install scikit-image mahotas
    python benchmarks/teacher_cache.py photographs --teacher efficientnet_lite0 --steps 200

    apt-get install dataset-fashion-mnist
    python benchmarks/teacher_cache.py fashion_mnist --teacher runs/fashion_mnist/teacher \
        --minutes 5 --seeds 0 1 2

Each row trains step 1 of a student, that of `s2bnn fit` on photographs and that of the table on
10,000 images of Fashion-MNIST, for the same number of steps: with the teacher running along, and
with stored targets of 1 to 16 crops of each picture, as they are, centered, or reduced to 128
dimensions. Times are those of the processor, which other programs on the machine change little.
`--minutes` instead gives every row about the same time of the processor, storing included: the
number of steps is reckoned from a few that are timed first. The rows go to
benchmarks/results/teacher_cache.json one by one, and those that are there are not made again.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from reproduce_fashion_mnist import make_subsets

from s2bnn_tf.config import load_config
from s2bnn_tf.data import open_source
from s2bnn_tf.demo_pictures import cut_photographs
from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.files import write_json
from s2bnn_tf.recipes import config_path

RESULTS = Path(__file__).parent / "results" / "teacher_cache.json"
IMAGES = 10_000  # of Fashion-MNIST, so that a few minutes are several epochs
RECIPES = {
    "photographs": "fit/regression_step1.yaml",
    "fashion_mnist": "fashion_mnist/regression_step1.yaml",
}
ROWS: dict[str, tuple[str, ...]] = {
    "4 crops, as they are": ("teacher.cache=true", "teacher.crops=4"),
    "4 crops, 128 dimensions": (
        "teacher.cache=true",
        "teacher.crops=4",
        "teacher.reduce_to=128",
    ),
    "1 crop, as it is": ("teacher.cache=true", "teacher.crops=1"),
    "4 crops, centered": ("teacher.cache=true", "teacher.crops=4", "teacher.center=true"),
    "16 crops, 128 dimensions": (
        "teacher.cache=true",
        "teacher.crops=16",
        "teacher.reduce_to=128",
    ),
    "the teacher runs along, 128 dimensions": ("teacher.reduce_to=128",),
    "1 crop, 128 dimensions": ("teacher.cache=true", "teacher.crops=1", "teacher.reduce_to=128"),
    "the teacher runs along, as it is": (),
}


def measure(recipe: str, changes: tuple[str, ...], budget: float | None) -> dict[str, Any]:
    """Train one row, and score it."""
    from s2bnn_tf.evaluation import evaluate_knn
    from s2bnn_tf.training import pretrain, time_steps

    config = load_config(config_path(recipe), changes)
    if budget is not None:
        passed, used = time.perf_counter(), time.process_time()
        cost = time_steps(config)
        passed, used = time.perf_counter() - passed, time.process_time() - used
        crops = config.teacher.crops if config.teacher and config.teacher.cache else 0
        stored = cost.crop_seconds * crops * len(open_source(config.data.source))
        # The costs are by the clock, and this program had the processor for a share of that time.
        steps = (budget - used - stored * used / passed) / (cost.seconds * used / passed)
        changes = (*changes, f"steps={max(1, int(steps))}")
        config = load_config(config_path(recipe), changes)
    with tempfile.TemporaryDirectory() as temporary:
        moments = [time.process_time()]
        run = pretrain(config, temporary, callbacks=[_clock(moments)])
        score = evaluate_knn(run.path)["top1"]
        stored_bytes = sum(path.stat().st_size for path in run.targets.glob("*"))
    epochs = [b - a for a, b in zip(moments[1:], moments[2:])]
    return {
        "knn": score,
        "steps": config.steps,
        "epoch_processor_seconds": round(min(epochs), 2),
        "start_processor_seconds": round(moments[1] - moments[0], 1),
        "processor_seconds": round(moments[-1] - moments[0], 1),
        "stored_bytes": stored_bytes,
    }


def _clock(moments: list[float]) -> Any:
    """A callback that notes the processor's time when training begins, and after each epoch."""
    import tensorflow as tf

    def note(*_: Any) -> None:
        moments.append(time.process_time())

    return tf.keras.callbacks.LambdaCallback(on_train_begin=note, on_epoch_end=note)


def main() -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", choices=["photographs", "fashion_mnist"])
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--minutes", type=float, help="Of the processor, instead of --steps.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--row", action="append", choices=[*ROWS], help="Only this one.")
    options = parser.parse_args()
    quiet_tensorflow()
    length = f"--minutes {options.minutes:g}" if options.minutes else f"--steps {options.steps}"
    command = f"python benchmarks/teacher_cache.py {options.pictures} --teacher {options.teacher} "
    command += length
    with tempfile.TemporaryDirectory() as temporary:
        if options.pictures == "photographs":
            source = f"folder:{temporary}/crops"
            cut_photographs(Path(temporary) / "crops")
        else:
            source = f"idx:{make_subsets(Path(temporary), IMAGES)[1]}"
        shared = [f"data.source={source}", f"teacher.weights={options.teacher}", "loggers=[]"]
        shared += [f"steps={options.steps}"]
        for seed, name in itertools.product(options.seeds, options.row or ROWS):
            rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            of_seed = rows.setdefault(f"{command} --seeds {seed}", {})
            if name in of_seed:
                continue
            budget = None if options.minutes is None else 60 * options.minutes
            changes = (*shared, f"seed={seed}", *ROWS[name])
            of_seed[name] = measure(RECIPES[options.pictures], changes, budget)
            of_seed[name]["date"] = datetime.date.today().isoformat()
            print(json.dumps({name: of_seed[name]}), flush=True)
            write_json(RESULTS, rows)


if __name__ == "__main__":
    main()
