"""With CI=true every skipped test is listed, and a reason that is not allowed is a failure."""

from __future__ import annotations

import os

import pytest

# CI installs everything that the tests need, so there only these reasons may skip a test.
ALLOWED_SKIPS = (
    "this processor has no ",
    "this system has no user namespaces",  # which a container may forbid
    "only with TensorFlow 2.",
    "a logger is installed: ",
    "only without paho-mqtt, an extra",
)


def is_in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true")


def skip_reason(report: pytest.TestReport) -> str:
    """The reason of a report on a skipped test, without pytest's prefix."""
    where = report.longrepr
    reason = where[2] if isinstance(where, tuple) else str(where)
    return reason.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter):
    """With CI=true, list every skipped test and its reason."""
    skipped = terminalreporter.stats.get("skipped", []) if is_in_ci() else []
    for report in skipped:
        reason = skip_reason(report)
        verdict = "skipped" if reason.startswith(ALLOWED_SKIPS) else "SKIPPED, WHICH CI FORBIDS"
        terminalreporter.write_line(f"{verdict}: {report.nodeid}: {reason}")


def pytest_sessionfinish(session):
    """With CI=true, fail if a test was skipped for a reason that is not allowed."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if not is_in_ci() or reporter is None or session.exitstatus != pytest.ExitCode.OK:
        return
    skipped = reporter.stats.get("skipped", [])
    if not all(skip_reason(report).startswith(ALLOWED_SKIPS) for report in skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
