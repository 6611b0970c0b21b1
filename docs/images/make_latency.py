"""Draw latency.svg: how long ReActNet-A takes in each runtime, and MobileNetV2 beside it.

    python docs/images/make_latency.py

The numbers are those of one thread in runtime/benchmarks/results.json.
"""

from __future__ import annotations

import json
from pathlib import Path

from s2bnn_tf.files import write_text

ROOT = Path(__file__).resolve().parents[2]
NETWORK, THREADS = "ReActNet-A", "1 thread"
TITLES = {
    "s2bnn_runtime, avx512_vpopcntdq": "s2bnn_runtime, with VPOPCNTDQ",
    "s2bnn_runtime, avx2": "s2bnn_runtime, with AVX2 only",
    "LCE, indirect": "Larq Compute Engine, best kernel",
    "float, ONNX Runtime": "in float, ONNX Runtime",
    "float, TFLite with XNNPACK": "in float, XNNPACK",
    "LCE, default": "Larq Compute Engine, default kernel",
    "MobileNetV2, TFLite with XNNPACK": "MobileNetV2 in float, XNNPACK",
    "MobileNetV2-int8, LiteRT": "MobileNetV2 in int8, LiteRT",
}
WIDTH, LEFT, RIGHT, TOP, STEP = 880, 290, 80, 10, 30
STYLE = """
    text { fill: #1f2340 } rect { fill: #7a80a8 } .ours { fill: #f5a623 }
    @media (prefers-color-scheme: dark) { text { fill: #eef0ff } }
"""


def main() -> None:
    results = json.loads((ROOT / "runtime" / "benchmarks" / "results.json").read_text())
    measured = results["networks"][NETWORK][THREADS]
    milliseconds = {title: measured[name]["median_ms"] for name, title in TITLES.items()}
    write_text(Path(__file__).with_name("latency.svg"), draw(milliseconds))


def draw(milliseconds: dict[str, float]) -> str:
    """One bar per runtime, as SVG."""
    scale = (WIDTH - LEFT - RIGHT) / max(milliseconds.values())
    height = 2 * TOP + STEP * len(milliseconds)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="sans-serif" font-size="14" '
        f'aria-label="Median milliseconds of {NETWORK} in each runtime">',
        f"<style>{STYLE}</style>",
    ]
    for row, (title, value) in enumerate(milliseconds.items()):
        top, length = TOP + STEP * row, value * scale
        kind = ' class="ours"' if title.startswith("s2bnn_runtime") else ""
        parts += [
            f'<text x="{LEFT - 12}" y="{top + 19}" text-anchor="end">{title}</text>',
            f'<rect{kind} x="{LEFT}" y="{top + 5}" width="{length:.1f}" height="20"/>',
            f'<text x="{LEFT + length + 8:.1f}" y="{top + 19}">{value:.1f} ms</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
