"""The same classes on two emulated microcontrollers, one with vectors and one without."""

import shutil

import numpy as np
import pytest

TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")


@pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)),
    reason="needs gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm",
)
@pytest.mark.parametrize("name", ["Cortex-M4F", "Cortex-M55"])
def test_same_classes(classifier, tmp_path, name):
    import export_c_targets

    card, classes = export_c_targets.prepare(classifier, tmp_path / "source", 6)
    found = export_c_targets.run_on(name, tmp_path / "source", [])
    np.testing.assert_array_equal(found["classes"], classes)
    assert card["flash_bytes"] < found["flash_bytes"] < card["flash_bytes"] + 32 * 1024
    assert found["ram_bytes"] >= card["arena_bytes"] + 4096
    assert found["instructions"] > card["operations"][0]["binary_macs"] / 32
