"""A real HTTP server on loopback that misbehaves as it is told."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
from collections.abc import Callable, Iterator

import pytest

Answer = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers the requests for each path in turn; the last answer stays."""

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        answers = self.server.answers.get(self.path.partition("?")[0])
        if not answers:
            self.send_error(404)
            return
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def begin(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send_whole(self, data: bytes, *, tag: str = '"1"', until: int | None = None) -> None:
        """Answer as a server should: the whole file or the rest; or stop after a byte."""
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if begin is None or self.headers.get("If-Range") != tag:
            start = 0
            self.begin(200, Content_Length=len(data), ETag=tag)
        else:
            start = int(begin[1])
            if start >= len(data):
                self.begin(416, Content_Range=f"bytes */{len(data)}", Content_Length=0)
                return
            said = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.begin(206, Content_Length=len(data) - start, Content_Range=said, ETag=tag)
        self.wfile.write(data[start:until])

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    answers: dict[str, list[Answer]]
    requests: list[tuple[str, dict[str, str]]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        for variable in (name, name.upper()):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("S2BNN_MIRROR", raising=False)
    with Server(("127.0.0.1", 0), Handler) as running, contextlib.ExitStack() as stack:
        running.answers, running.requests = {}, []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        stack.callback(thread.join)
        stack.callback(running.shutdown)
        yield running
