"""A page, and what runs it: Node.js, or Chromium by its debugging protocol."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.export.web.compiler import find_compiler

DATA = Path(__file__).parents[2] / "compat/data/0.1.0"


@pytest.fixture(scope="session")
def student() -> Path:
    """A small encoder that `s2bnn convert` has written, with real weights."""
    return DATA / "student.tflite"


@pytest.fixture(scope="session")
def page(student, tmp_path_factory) -> Path:
    """The page of the student; the command made it."""
    from click.testing import CliRunner

    from s2bnn_tf.cli import main

    try:
        find_compiler()
    except ConfigError:
        pytest.skip("needs ziglang, the compiler of `s2bnn export-web`")
    folder = tmp_path_factory.mktemp("web") / "page"
    done = CliRunner().invoke(main, ["export-web", str(student), str(folder), "--json"])
    assert done.exit_code == 0, done.output
    card = json.loads(done.output.splitlines()[-1])
    assert card["files"] == {path.name: path.stat().st_size for path in folder.iterdir()}
    return folder


@pytest.fixture
def run_page(page, tmp_path) -> Callable[..., dict[str, Any]]:
    """Runs the page's scripts in Node.js."""
    if shutil.which("node") is None:
        pytest.skip("needs Node.js")

    def run(**job: Any) -> dict[str, Any]:
        wanted = {"build": "simd.js", "pictures": [], "enroll": [], "classify": [], **job}
        (tmp_path / "job.json").write_text(json.dumps(wanted))
        command = ["node", str(Path(__file__).with_name("run.js")), str(page), "job.json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


class Browser:
    """Chromium with one page, driven through a pair of pipes."""

    def __init__(self, profile: Path, page: Path):
        to_child, self._out = os.pipe()
        self._in, from_child = os.pipe()
        flags = [
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"),
            *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
        ]
        # The protocol's pipes are the descriptors 3 and 4.
        shell = f'exec "$@" 3<&{to_child} 4>&{from_child}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", "chromium", *flags],
            pass_fds=(to_child, from_child),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        self._read = os.fdopen(self._in, "rb")
        self._numbers, self._session, self._rest = itertools.count(1), None, b""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.send("Network.enable")
        self.open(page)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                block = os.read(self._in, 1 << 16)
                assert block, "Chromium ended"
                self._rest += block
            line, self._rest = self._rest.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, page: Path) -> None:
        self.send("Page.navigate", url=(page / "index.html").as_uri())
        self.wait("document.body?.dataset.ready || document.getElementById('message')?.innerText")

    def run(self, script: str) -> Any:
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition: str) -> Any:
        """Wait until an expression is true; at most a minute."""
        return self.run(
            "new Promise((resolve, reject) => { let left = 600; const look = () => {"
            f" let found; try {{ found = {condition}; }} catch {{ }}"
            " if (found) resolve(found); else if (--left < 0) reject(document.body.innerText);"
            " else setTimeout(look, 100); }; look(); })"
        )

    def choose_files(self, *paths: Path) -> None:
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def close(self) -> None:
        os.close(self._out)
        self._process.terminate()
        self._process.wait()
        self._read.close()


@pytest.fixture
def browser(page, tmp_path):
    """Chromium that shows the page."""
    if shutil.which("chromium") is None:
        pytest.skip("needs Chromium")
    found = Browser(tmp_path / "profile", page)
    yield found
    found.close()
