"""The example for microcontrollers, from a converted network to lamps that blink."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.export import export_c
from s2bnn_tf.image_size import height_width
from s2bnn_tf.tflite import TFLiteEncoder

EXAMPLE = Path(__file__).parents[3] / "examples/microcontroller"
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm", "make")
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)),
    reason="needs gcc-arm-none-eabi, libnewlib-arm-none-eabi, qemu-system-arm and make",
)


def count_flashes(lines):
    """How often lamp 0 flashes between two times that lamp 1 goes off."""
    flashes = None
    for line in lines:
        found = re.search(r"'USERLED(\d)'.*-> (\d+)%", line)
        if found and found.groups() == ("1", "0"):
            if flashes is not None:
                return flashes
            flashes = 0
        elif found and found.groups() == ("0", "100") and flashes is not None:
            flashes += 1
    raise AssertionError("the program ended")


def test_the_lamps_say_the_class(classifier, tmp_path):
    encoder = TFLiteEncoder(classifier, "lce")
    height, width = height_width(encoder.image_size)
    shades = np.random.default_rng(0).integers(0, 256, (20, 1, 1, 1))
    pictures = (np.random.default_rng(1).random((20, height, width, 1)) * shades).astype(np.uint8)
    classes = encoder.features(np.repeat(pictures, encoder.channels, -1)).argmax(-1)
    other = int(np.flatnonzero(classes != classes[0])[0])

    folder, size = tmp_path / "example", f"{width}x{height}"
    shutil.copytree(EXAMPLE, folder)
    export_c(classifier, folder / "c", name="digits", layout="gray8", frame=size)
    for number in (0, other):
        Image.fromarray(pictures[number, ..., 0]).save(folder / "digit.png")
        command = [sys.executable, "frame.py", "digit.png", size]
        with (folder / "frame.h").open("w") as header:
            subprocess.run(command, cwd=folder, stdout=header, check=True)
        make = ["make", "-s", "-B", "SOURCE=c", "blink.elf"]
        subprocess.run(make, cwd=folder, check=True, capture_output=True)
        assert count_flashes(run_for_a_while(folder)) == classes[number] + 1


def run_for_a_while(folder):
    """The lines of QEMU by the example's own command; it is ended when nobody reads on."""
    shown = subprocess.run(
        ["make", "-n", "-s", "SOURCE=c", "run"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    command = shlex.split(shown.stdout.replace("\\\n", ""))
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield from process.stderr
        finally:
            process.kill()
