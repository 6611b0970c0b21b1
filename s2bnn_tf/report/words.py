"""Results as the few lines that a terminal shows."""

from __future__ import annotations

from typing import Any


def describe_low_label(result: dict[str, Any]) -> str:
    """Describe the result of `evaluate_low_label`, with one line per amount of labels."""
    lines = [f"Linear probes of {result['model']} on {result['data']}, {result['draws']} draws:"]
    for amount, measured in result["amounts"].items():
        interval = measured["confidence_interval"]
        between = f" (95 %: {_percent(interval[0])} to {_percent(interval[1])})" if interval else ""
        what = f"{amount} of the labels" if "%" in amount else f"{amount} labels per class"
        lines.append(
            f"  {what}, {measured['n_train']} images: {_percent(measured['top1'])}{between}"
        )
    return "\n".join(lines)


def describe_calibration(result: dict[str, Any]) -> str:
    """Describe the result of `evaluate_calibration`, with one line per group of quantities."""
    lines = []
    if "student" in result:
        lines.append(
            f"{result['model']}, softmax over {result['dimensions']} coordinates at temperature "
            f"{result['temperature']:g}, {result['views']} views:"
        )
        lines.append(
            f"  entropy {result['student']['entropy_mean']:.3f} nats "
            f"(uniform: {result['uniform_entropy']:.3f})"
        )
    if "teacher" in result:
        lines += [
            f"  teacher's entropy {result['teacher']['entropy_mean']:.3f} nats "
            f"(at temperature {result['teacher_temperature']:g})",
            f"  KL(teacher || student) {result['kl_mean']:.4f} nats "
            f"(for a uniform student: {result['kl_of_uniform_mean']:.4f})",
            f"  rank agreement {result['rank_agreement_mean']:.3f}, same largest coordinate "
            f"in {_percent(result['same_largest_coordinate'])} of the views",
        ]
    if "reliability" in result:
        error = result["reliability"]["expected_calibration_error"]
        lines.append(f"  expected calibration error of the classifier {_percent(error)}")
    return "\n".join(lines)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"
