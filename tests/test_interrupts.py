"""Signals that arrive while the main thread computes something long, in real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A package during whose import Ctrl-C is pressed
INTERRUPTED = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
raise ImportError("went on")
"""
(SCRIPT,) = re.findall(r'^s2bnn = "(\S+):main"', (ROOT / "pyproject.toml").read_text(), re.M)
INSTALLED = f"import sys; from {SCRIPT} import main; sys.exit(main())"  # as pip writes it

# A single call into C that takes minutes, and during which no handler of Python's runs. Another
# thread tells when it has begun: only that call gives up the interpreter's lock.
LONG = """
    import hashlib, sys, threading
    def tell():
        begun.wait()
        print("ready", flush=True)
    begun = threading.Event()
    threading.Thread(target=tell, daemon=True).start()
    sys.setswitchinterval(1000)
    begun.set()
    hashlib.pbkdf2_hmac("md5", b"", b"", 10**9)
"""
COMMAND = f"""
from s2bnn_tf.interrupts import answered_interrupts
with answered_interrupts():
{LONG}
"""
TRAINING = f"""
from s2bnn_tf.training.stopping import StopOnSignal
with StopOnSignal() as stop:
    stop.stepped = STEPPED
    stop.on_train_begin({{}})
{LONG}
"""


@pytest.fixture
def start():
    processes = []

    def start(script: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("script", "first", "second"),
    [
        (
            COMMAND,
            "Stopping when this computation is done; once more ends at once.\n",
            "Ended.\n",
        ),
        (
            TRAINING.replace("STEPPED", "True"),
            "Stopping after this step; once more ends at once.\n",
            "Ended; the same command resumes from the last checkpoint.\n",
        ),
    ],
)
def test_the_first_is_answered_and_the_second_ends(script, first, second, start):
    process = start(script)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == first
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == second
    assert process.wait(60) == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_the_first_step_one_is_enough(number, start):
    process = start(TRAINING.replace("STEPPED", "False"))
    process.send_signal(number)
    expected = "Ended before the first step, so there was nothing to save.\n"
    assert process.stderr.readline() == expected
    assert process.wait(60) == 130


def test_training_in_another_thread_is_left_alone():
    """Python handles signals in the main thread alone."""
    script = """
import threading
from s2bnn_tf.interrupts import answered_interrupts
from s2bnn_tf.training.stopping import StopOnSignal
def train():
    with answered_interrupts(), StopOnSignal() as stop:
        print(stop.stopped)
thread = threading.Thread(target=train)
thread.start()
thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
    assert done.stderr == ""


@pytest.mark.parametrize("how", [["-m", "s2bnn_tf"], ["cli.py"], ["-c", INSTALLED]])
def test_ctrl_c_ends_the_program_quietly_while_it_loads(how, tmp_path):
    (tmp_path / "click.py").write_text(INTERRUPTED)
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, *how, "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        # Whatever runs the tests may ignore it, as the background of a shell script does.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Stopped.\n")


def test_ctrl_c_that_is_ignored_stays_ignored(tmp_path):
    """As in the background of a shell script."""
    (tmp_path / "click.py").write_text(INTERRUPTED)
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, "-m", "s2bnn_tf", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert "ImportError: went on" in ended.stderr


def test_a_command_that_is_interrupted_says_so_and_exits_with_130():
    script = """
import os, signal
import click
from s2bnn_tf.cli import main
@main.command()
def wait():
    os.kill(os.getpid(), signal.SIGINT)
main(["wait"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")
