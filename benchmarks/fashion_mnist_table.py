"""Write the Fashion-MNIST table as text, in the documentation, and as a picture.

    python benchmarks/fashion_mnist_table.py full

Prints benchmarks/results/fashion_mnist_full.json, which reproduce_fashion_mnist.py fills, inserts
the table between its two marks in docs/results.md, and draws docs/images/fashion_mnist_full.svg.
"""

from __future__ import annotations

import argparse
import html
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2bnn_tf.files import write_text

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        title: What the page calls it.
        recipes: Its recipes in configs/fashion_mnist, in order; none where nothing is trained.
        settings: Changes to all of them.
        in_step1: Changes to the first of two alone.
    """

    title: str
    recipes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    in_step1: tuple[str, ...] = ()


def _steps(recipe: str) -> tuple[str, str]:
    return f"{recipe}_step1", f"{recipe}_step2"


_SIMREG_HEAD = 'student.head="linear bn relu linear linear bn relu linear"'
_LEARNING_RATE = "optimizer.learning_rate="

# The paper's four rows come first, then the one-step forms, then rows that are not in the paper.
ROWS = {
    "teacher": Row("Teacher, real-valued ResNet-18", ("teacher",)),
    "pixels": Row("Raw pixels, 32x32"),
    "untrained": Row("Untrained student"),
    "baseline_sgd": Row("Contrastive baseline: one step, SGD, moco_v2", ("baseline_sgd",)),
    "baseline_sgd_warmup": Row(
        "The same with one epoch of warm-up", ("baseline_sgd",), ("optimizer.warmup_epochs=1",)
    ),
    "contrastive": Row("Enhanced contrastive: two steps, Adam, light", _steps("contrastive")),
    "contrastive_distillation": Row(
        "Contrastive + distillation, two steps", _steps("contrastive_distillation")
    ),
    "distillation": Row("Distillation only, two steps", _steps("distillation")),
    "contrastive_one_step": Row("Enhanced contrastive, one step", ("contrastive_one_step",)),
    "contrastive_distillation_one_step": Row(
        "Contrastive + distillation, one step", ("contrastive_distillation_one_step",)
    ),
    "distillation_one_step": Row("Distillation only, one step", ("distillation_one_step",)),
    "real_valued_twin": Row("Real-valued twin of the student, by contrast", ("real_valued_twin",)),
    "supervised": Row("Supervised binary student, all labels"),
    "distillation_two_temperatures": Row(
        "Distillation, a temperature for each network, two steps",
        _steps("distillation_two_temperatures"),
    ),
    "contrastive_distillation_weighted": Row(
        "Contrastive + 10 x distillation, likewise, two steps",
        _steps("contrastive_distillation_weighted"),
    ),
    "similarity": Row("Similarity to the queue (SEED), two steps", _steps("similarity")),
    "regression": Row("Regression on features (SimReg), two steps", _steps("regression")),
    "regression_mixup": Row(
        "Regression, both networks see mixed images",
        _steps("regression"),
        ("objective.mixup=true",),
    ),
    "regression_weak": Row(
        "Regression, crops and flips alone", _steps("regression"), ("data.augmentation=weak",)
    ),
    "regression_mixup_weak": Row(
        "Regression, crops and flips alone, mixed",
        _steps("regression"),
        ("objective.mixup=true", "data.augmentation=weak"),
    ),
    "regression_centered": Row(
        "Regression on centered features", _steps("regression"), ("teacher.center=true",)
    ),
    "regression_standardized": Row(
        "Regression on standardized features",
        _steps("regression"),
        ("teacher.normalize=standardize",),
    ),
    "distillation_phi_s": Row(
        "Distillation over rotated features (PHI-S)",
        _steps("distillation_two_temperatures"),
        ("teacher.output=features", "teacher.normalize=phi_s"),
    ),
    "regression_simreg_head": Row(
        "Regression with SimReg's own head of four layers", _steps("regression"), (_SIMREG_HEAD,)
    ),
    "regression_similarity": Row(
        "Regression + similarity (SEED) on features",
        _steps("regression"),
        (
            "objective.similarity_weight=0.1",
            "objective.queue_size=16384",
            "objective.teacher_temperature=0.05",
        ),
    ),
    "burn": Row(
        "Regression + growing distillation on other views (BURN's losses)",
        _steps("regression"),
        (
            "objective.distillation_weight=0.1",
            "objective.final_distillation_weight=0.3",
            "objective.cross_views=true",
            "student.head=linear bn relu linear bn relu linear",
        ),
    ),
    "regression_decay": Row(
        "Regression, weight decay in step 1 only",  # https://arxiv.org/abs/2106.11309
        _steps("regression"),
        in_step1=("optimizer.weight_decay=5e-6",),
    ),
    "regression_places": Row(
        "Regression + similarity between places of the map",
        _steps("regression"),
        ("objective.places_weight=1.0",),
    ),
    "regression_signs": Row(
        "Regression + the signs of the teacher's map (SQuaT)",
        _steps("regression"),
        ("objective.signs_weight=0.1",),
    ),
    "regression_slow": Row(
        "Regression at half the learning rate", _steps("regression"), (_LEARNING_RATE + "1e-3",)
    ),
    "regression_fast": Row(
        "Regression at twice the learning rate", _steps("regression"), (_LEARNING_RATE + "4e-3",)
    ),
}

# Rows that are no student of that teacher, or not one without labels.
NOT_RECOVERED = ("teacher", "pixels", "untrained", "supervised")

HEADINGS = (
    "row",
    "kNN",
    "linear",
    "10 labels per class",
    "gap recovery",
    "images per processor second",
    "processor minutes",
    "peak MiB",
)

SCREEN_HEADINGS = ("row", "kNN", "linear", "linear, above regression")

# Dimensions of the picture in pixels.
LEFT, RIGHT, TOP, STEP, WIDTH = 420, 120, 44, 30, 880
STYLE = """
    text { fill: #1f2340 } line { stroke: #d8dbea } .mean { stroke: #7a80a8; stroke-width: 2 }
    circle { fill: #2b3467 } .best { fill: #f5a623 } .small { font-size: 12px; fill: #4a4f72 }
    .between { fill: #7a80a8; fill-opacity: 0.12 }
    @media (prefers-color-scheme: dark) {
      text { fill: #eef0ff } .small { fill: #b9bede } line { stroke: #3a3f63 }
      circle { fill: #aab4ff }
    }
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("budget", choices=("small", "screen", "full"), nargs="?", default="full")
    budget = parser.parse_args().budget
    path = ROOT / "benchmarks" / "results" / f"fashion_mnist_{budget}.json"
    if not path.exists():
        sys.exit(f"{path} does not exist; run reproduce_fashion_mnist.py --budget {budget} first.")
    rows = json.loads(path.read_text())["rows"]
    print(as_text(rows))
    publish(rows, ROOT / "docs" / "results.md", budget)


def publish(rows: dict, page: Path, budget: str) -> None:
    """Insert the table and the picture into the documentation page, if it exists."""
    if page.exists() and budget == "screen":
        write_between_marks(page, budget, as_markdown(SCREEN_HEADINGS, screen_lines(rows)))
    elif page.exists():
        write_page(rows, page, budget)
        write_picture(rows, page, budget)


def lines(rows: dict) -> list[list[str]]:
    """Return one line per row: title, kNN, linear, 10 labels, gap, images/s, minutes, memory."""
    found = []
    for row, about in ROWS.items():
        if row not in rows:
            continue
        costly = [m for m in rows[row].values() if m.get("processor_minutes")]
        found.append(
            [
                about.title,
                *(spread(percents(rows, row, key)) for key in ("knn", "linear", "ten_labels")),
                spread(gaps(rows, row)),
                spread([m["images_per_processor_second"] for m in costly]),
                spread([m["processor_minutes"] for m in costly]),
                spread([m["peak_memory_mib"] for m in costly], digits=0),
            ]
        )
    return found


def as_text(rows: dict) -> str:
    """Return the table as text with aligned columns."""
    table = [HEADINGS, *lines(rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in table)


def write_page(rows: dict, page: Path, budget: str) -> None:
    """Insert the table between the two marks for its budget."""
    write_between_marks(page, budget, as_markdown(HEADINGS, lines(rows)))


def screen_lines(rows: dict) -> list[list[str]]:
    """Return a line per row of a screening: title, kNN, linear, and its gain over regression.

    The gain is over regression of the same seeds.
    """
    found = []
    for row, about in ROWS.items():
        if row not in rows:
            continue
        linear = percents(rows, row, "linear")
        of_seeds = {seed: rows.get("regression", {}).get(seed, {}) for seed in rows[row]}
        base = percents({row: of_seeds}, row, "linear")
        is_idea = row.startswith("regression_") or row == "burn"
        gain = f"{np.mean(linear) - np.mean(base):+.1f}" if is_idea and base else "–"
        found.append([about.title, spread(percents(rows, row, "knn")), spread(linear), gain])
    return found


def as_markdown(headings: tuple[str, ...], body: list[list[str]]) -> str:
    """Return a table in Markdown."""
    head = [headings, ["---"] * len(headings)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [*head, *body])


def write_between_marks(page: Path, name: str, table: str) -> None:
    """Insert a table between the two marks with its name, if the page has them."""
    begin, end = (f"<!-- {name} {mark} -->" for mark in ("begins", "ends"))
    before, _, rest = page.read_text("utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if found:
        write_text(page, f"{before}{begin}\n\n{table}\n\n{end}{after}")


def write_picture(rows: dict, page: Path, budget: str) -> None:
    """Draw the table beside the page once a gap is known."""
    if any(gaps(rows, row) for row in rows):
        path = page.parent / "images" / f"fashion_mnist_{budget}.svg"
        path.parent.mkdir(exist_ok=True)
        write_text(path, picture(rows))


def picture(rows: dict) -> str:
    """Return an <svg> of the linear probe of every row in percent, with one dot per seed.

    The gap from baseline to teacher is shaded.
    """
    seeds = {row: percents(rows, row, "linear") for row in ROWS if row in rows}
    every = [value for values in seeds.values() for value in values]
    low, high = int(min(every)) - 1, int(max(every)) + 2

    def x(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low), 1)

    bottom = TOP + STEP * len(seeds)
    ends = [x(np.mean(seeds[row])) for row in ("baseline_sgd", "teacher")]
    parts = [
        f'<rect class="between" x="{min(ends)}" y="{TOP - 14}" '
        f'width="{round(max(ends) - min(ends), 1)}" height="{bottom - TOP + 8}"/>',
        f'<text class="small" x="{LEFT}" y="16">linear probe, top-1 in percent</text>',
        f'<text class="small" x="{WIDTH - RIGHT + 20}" y="16">gap recovered</text>',
    ]
    for tick in range(low + -low % 5, high, 5):
        place = x(tick)
        parts.append(f'<line x1="{place}" y1="{TOP - 14}" x2="{place}" y2="{bottom - 6}"/>')
        parts.append(
            f'<text class="small" x="{place}" y="{bottom + 12}" text-anchor="middle">{tick}</text>'
        )
    students = [row for row in seeds if gaps(rows, row)]
    best = max(students, key=lambda row: np.mean(seeds[row]))
    for index, (row, values) in enumerate(seeds.items()):
        y = TOP + STEP * index
        title = html.escape(ROWS[row].title)
        parts.append(f'<text x="{LEFT - 16}" y="{y + 5}" text-anchor="end">{title}</text>')
        mean, kind = x(np.mean(values)), ' class="best"' if row == best else ""
        parts.append(f'<line class="mean" x1="{mean}" y1="{y - 9}" x2="{mean}" y2="{y + 9}"/>')
        parts += [f'<circle{kind} cx="{x(value)}" cy="{y}" r="5"/>' for value in values]
        if row in students and row != "baseline_sgd":
            gap = f"{np.mean(gaps(rows, row)):.0f} %"
            parts.append(f'<text x="{WIDTH - RIGHT + 20}" y="{y + 5}">{gap}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 24}" role="img" '
        f'font-family="sans-serif" font-size="14" aria-label="Accuracy of every row of the table">'
        f"\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def percents(rows: dict, row: str, key: str) -> list[float]:
    """Return one accuracy in percent for every seed of a row that has it."""
    return [100 * measured[key] for measured in rows[row].values() if key in measured]


def gaps(rows: dict, row: str) -> list[float]:
    """Return the gap recovery in percent for every seed of a row that has one."""
    found = [gap_recovery(rows, row, seed) for seed in rows[row]]
    return [100 * gap for gap in found if gap is not None]


def spread(values: list[float], digits: int = 1) -> str:
    """Return the mean, with the sample standard deviation if there are several values."""
    if not values:
        return "–"
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


def gap_recovery(rows: dict, row: str, seed: str) -> float | None:
    """Return (row - baseline) / (teacher - baseline) on the linear probe for the same seed."""
    found = [rows.get(name, {}).get(seed, {}).get("linear") for name in ("baseline_sgd", "teacher")]
    own = rows[row][seed].get("linear")
    if None in found or own is None or row in NOT_RECOVERED:
        return None
    baseline, teacher = found
    return (own - baseline) / (teacher - baseline)


if __name__ == "__main__":
    main()
