"""The same classes on two emulated microcontrollers, one with vectors and one without."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

KERNELS = Path(__file__).parents[3] / "s2bnn_tf/export/c_source/files/s2bnn_kernels.c"
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")


@pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)),
    reason="needs gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm",
)
@pytest.mark.parametrize("name", ["Cortex-M4F", "Cortex-M55"])
def test_same_classes(classifier, tmp_path, name):
    import export_c_targets
    import processors

    card, classes = export_c_targets.prepare(classifier, tmp_path / "source", 6)
    found = processors.run_on(name, tmp_path / "source")
    np.testing.assert_array_equal(found["classes"], classes)
    assert card["flash_bytes"] < found["flash_bytes"] < card["flash_bytes"] + 32 * 1024
    assert found["ram_bytes"] >= card["arena_bytes"] + 4096
    assert found["instructions"] > card["operations"][0]["binary_macs"] / 32


def test_a_picture_of_another_class_is_named(classifier):
    import export_c_targets

    row = export_c_targets.compare(classifier, np.array([3, 4, 5]), {"classes": [3, 5, 5]})
    (other,) = row["others"]
    assert (row["same_classes"], other["picture"], other["class"], other["found"]) == (2, 1, 4, 5)
    assert 0 <= other["nearest_sign"] < 0.01


@pytest.mark.skipif(shutil.which(TOOLS[0]) is None, reason="needs gcc-arm-none-eabi")
def test_inner_loop_of_a_cortex_m4(tmp_path):
    """Three words take 6 loads, 3 exclusive ors, 18 operations that count, and one that adds up."""
    flags = ("-O3", "-std=c99", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-c")
    output = tmp_path / "kernels.o"
    subprocess.run([TOOLS[0], *flags, "-o", str(output), str(KERNELS)], check=True)
    command = ["arm-none-eabi-objdump", "-d", "--disassemble=count_by_3", str(output)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = re.findall(r"^ +([0-9a-f]+):\t[0-9a-f ]+\t(\S+)\s*(\S*)", text, re.MULTILINE)
    places = [int(place, 16) for place, _, _ in lines]
    loops = []
    for end, (place, operation, target) in enumerate(lines):
        if operation.startswith("b") and re.fullmatch("[0-9a-f]+", target):
            begin = int(target, 16)
            if begin < int(place, 16):
                loops.append(lines[places.index(begin) : end + 1])
    inner = min(loops, key=len)
    assert sum(operation.startswith("eor") for _, operation, _ in inner) == 3
    assert len(inner) <= 1.15 * (6 + 3 + 18 + 1)
