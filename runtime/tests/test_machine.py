"""What a measurement says about the machine that it was made on."""

from __future__ import annotations

from s2bnn_runtime.machine import describe_machine


def test_an_arm_board_is_named(tmp_path):
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    cpuinfo = "processor\t: 0\nCPU part\t: 0xd08\n\nprocessor\t: 1\nCPU part\t: 0xd08\n"
    (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    clock = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"
    clock.parent.mkdir(parents=True)
    clock.write_text("1500000\n")
    machine = describe_machine(tmp_path)
    assert machine["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert machine["processor"] == "Cortex-A72"
    assert machine["max_mhz"] == 1500


def test_cores_of_two_kinds_and_unknown_ones_are_named(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("CPU part\t: 0xd05\nCPU part\t: 0xfff\n")
    assert describe_machine(tmp_path)["processor"] == "Cortex-A55 and 0xfff"


def test_a_processor_with_a_name_keeps_it(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("model name\t: AMD EPYC 9xx4\n")
    assert describe_machine(tmp_path)["processor"] == "AMD EPYC 9xx4"


def test_a_system_that_says_nothing_is_described_without_it(tmp_path):
    machine = describe_machine(tmp_path)
    assert (machine["board"], machine["processor"], machine["max_mhz"]) == (None, None, None)
    assert machine["cpus"] >= 1
