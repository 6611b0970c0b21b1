"""Calls of `s2bnn-run` as from the shell, and what it prints."""

from __future__ import annotations

from s2bnn_runtime.cli import main


def say(capsys, *arguments) -> str:
    """Run a command that succeeds, and return what it prints."""
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def complain(capsys, *arguments) -> str:
    """Run a command that fails, and return its one line on standard error."""
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if line.startswith("s2bnn-run: ")]
    assert len(lines) == 1
    assert "Errno" not in lines[0]
    return lines[0]
