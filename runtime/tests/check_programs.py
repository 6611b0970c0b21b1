"""Check programs that run a model, in any language, against golden.npz.

    python tests/check_programs.py NAME COMMAND...       (needs NumPy)

COMMAND is called with three more arguments, MODEL, INPUT and OUTPUT. It reads the model's input and
writes its first output as they lie in memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from check_host import load_cases


def main() -> None:
    name, *command = sys.argv[1:]
    cases = load_cases()
    with tempfile.TemporaryDirectory() as directory:
        model, image, output = (
            Path(directory) / file for file in ("model.tflite", "input", "output")
        )
        for case, (content, x, (wanted, *_)) in cases.items():
            if case == "network":  # three images for a batch of one
                x, wanted = x[:1], wanted[:1]
            model.write_bytes(content)
            image.write_bytes(x.tobytes())
            subprocess.run([*command, model, image, output], check=True)
            assert output.read_bytes() == wanted.tobytes(), (
                f"{name}, {case}: the output is different"
            )
    print(f"ok: {name}: {len(cases)} outputs equal to Larq Compute Engine's")


if __name__ == "__main__":
    main()
