"""`s2bnn-run` called as from the shell, and what it prints."""

from __future__ import annotations

from s2bnn_runtime.cli import main


def say(capsys, *arguments) -> str:
    """What a command that succeeds prints."""
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def complain(capsys, *arguments) -> str:
    """The one line on standard error of a command that fails."""
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if line.startswith("s2bnn-run: ")]
    assert len(lines) == 1
    assert "Errno" not in lines[0]
    return lines[0]
