"""A file arrives whole and right from a server that misbehaves, or one sentence says why not."""

from __future__ import annotations

import hashlib
import socket

import numpy as np
import pytest

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.progress import no_progress
from s2bnn_tf.teachers.download import download

DATA = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "network.pth"


def whole(handler) -> None:
    handler.send_whole(DATA)


def cut_at(position: int):
    return lambda handler: handler.send_whole(DATA, until=position)


def page(handler) -> None:
    handler.begin(200, Content_Type="text/html", Content_Length=5)
    handler.wfile.write(b"Hello")


def redirect_to(target: str):
    return lambda handler: handler.begin(302, Location=target, Content_Length=0)


def length_of(count: int):
    """The whole file, and a length that is not its own."""

    def answer(handler) -> None:
        if "Range" in handler.headers:
            handler.begin(416, Content_Length=0)
            return
        handler.begin(200, Content_Length=count, ETag='"1"')
        handler.wfile.write(DATA[:count])

    return answer


def elsewhere(handler) -> None:
    handler.begin(206, Content_Length=5, Content_Range="bytes 7-11/300000", ETag='"1"')
    handler.wfile.write(b"Hello")


def fetch(server, path, **stated: str) -> str:
    return download(f"{server.url}/a", path, **stated, progress=no_progress)


def ranges(server) -> list[str | None]:
    return [headers.get("Range") for _, headers in server.requests]


def left_of(path) -> set[str]:
    return {file.name for file in path.parent.iterdir()} if path.parent.exists() else set()


def test_a_file_comes_once_and_is_recorded(server, path):
    server.answers["/a"] = [whole]
    said = []
    found = download(f"{server.url}/a", path, progress=lambda *a: said.append(a))
    assert found == DIGEST == fetch(server, path)
    assert path.read_bytes() == DATA
    assert len(server.requests) == 1
    assert left_of(path) == {"network.pth", "network.pth.json"}
    assert said[-1][0].startswith("Downloading network.pth, 0m0")


def test_what_is_cut_is_continued_where_it_stopped(server, path):
    server.answers["/a"] = [cut_at(100_000), cut_at(100_000), cut_at(250_000), whole]
    assert fetch(server, path, stated=DIGEST[:8]) == DIGEST
    assert path.read_bytes() == DATA
    assert ranges(server) == [None, "bytes=100000-", "bytes=100000-", "bytes=250000-"]


def test_a_command_that_gave_up_is_continued_by_the_next(server, path):
    server.answers["/a"] = [cut_at(100_000)]
    with pytest.raises(CheckpointError, match="it ends after 100,000 of 300,000 bytes.* continues"):
        fetch(server, path)
    assert left_of(path) == {"network.pth.part", "network.pth.part.version"}
    server.answers["/a"] = [whole]
    server.requests.clear()
    fetch(server, path)
    assert path.read_bytes() == DATA
    assert ranges(server) == ["bytes=100000-"]


def test_another_version_in_the_meantime_is_not_appended(server, path):
    newer = DATA[::-1]
    server.answers["/a"] = [cut_at(100_000), lambda h: h.send_whole(newer, tag='"2"')]
    fetch(server, path)
    assert path.read_bytes() == newer


def test_a_server_that_cannot_continue_sends_everything(server, path):
    def plain(handler) -> None:
        handler.begin(200, Content_Length=len(DATA))
        handler.wfile.write(DATA)

    server.answers["/a"] = [cut_at(100_000), plain]
    fetch(server, path)
    assert path.read_bytes() == DATA


def test_a_server_that_fails_at_first_is_asked_again(server, path):
    server.answers["/a"] = [lambda h: h.send_error(503), lambda h: h.send_error(500), whole]
    fetch(server, path)
    assert path.read_bytes() == DATA


def test_redirects_are_followed(server, path):
    server.answers = {"/a": [redirect_to("/b")], "/b": [cut_at(9), whole]}
    fetch(server, path)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([page], "it answers with a page and not with a file"),
        ([lambda h: h.send_error(404)], "it answers 404 Not Found"),
        ([lambda h: h.send_error(403)], "it answers 403 Forbidden"),
        ([lambda h: h.send_error(503)], "it answers 503"),
        ([redirect_to("/a")], "it answers 302"),
        ([redirect_to("file:///etc/passwd")], "it answers 302"),
        ([length_of(400_000)], "it ends after 300,000 of 400,000 bytes"),
        ([length_of(10**12)], "it says that it has 1,000,000,000,000 bytes"),
        ([cut_at(100_000), elsewhere], "it continues elsewhere than it was asked to"),
        ([lambda h: h.wfile.write(b"no HTTP at all\r\n\r\n")], "no HTTP"),
        ([lambda h: None], "without response|Remote end closed"),
    ],
)
def test_a_server_that_does_not_mend_its_ways(answers, words, server, path):
    server.answers["/a"] = answers
    with pytest.raises(CheckpointError, match=words) as caught:
        fetch(server, path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(f"without a network, put the file there as {path}.")
    assert not path.exists()


def test_other_bytes_than_the_publisher_states_are_not_kept(server, path):
    for answers in ([whole], [length_of(200_000)]):
        server.answers["/a"] = answers
        with pytest.raises(CheckpointError, match="the publisher states 00000000: nothing was ke"):
            fetch(server, path, stated="00000000")
        assert not any(name.endswith((".pth", ".part")) for name in left_of(path))


def test_a_file_that_changed_since_it_came_is_refused(server, path):
    server.answers["/a"] = [whole]
    fetch(server, path)
    path.write_bytes(DATA[:-1])
    with pytest.raises(
        CheckpointError,
        match="SHA-256 .*, and was another when it came. Del",
    ):
        fetch(server, path)


def test_nobody_answers(path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
        with pytest.raises(CheckpointError, match=f"refused.* put the file there as {path}"):
            download(url, path, progress=no_progress)


def test_a_file_that_was_put_there_by_hand_is_taken(server, path):
    path.parent.mkdir()
    path.write_bytes(DATA)
    assert fetch(server, path, stated=DIGEST[:8]) == DIGEST
    assert not server.requests


def test_a_mirror_is_asked_instead(server, path, monkeypatch):
    monkeypatch.setenv("S2BNN_MIRROR", f"{server.url}/copies/")
    server.answers["/copies/publisher.example/x/network.pth"] = [whole]
    download("https://publisher.example/x/network.pth", path, progress=no_progress)
    assert path.read_bytes() == DATA


def test_a_proxy_is_asked_as_the_environment_says(server, path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    server.answers["http://publisher.example/network.pth"] = [whole]
    download("http://publisher.example/network.pth", path, progress=no_progress)
    assert path.read_bytes() == DATA


def test_an_md5_is_checked_where_the_publisher_states_that(server, path):
    server.answers["/a"] = [whole]
    with pytest.raises(CheckpointError, match="whose MD5 begins with .*states 00000000: nothing"):
        fetch(server, path, md5="00000000")
    assert not path.exists()
    assert fetch(server, path, md5=hashlib.md5(DATA).hexdigest()[:8]) == DIGEST
    with pytest.raises(CheckpointError, match="its MD5 begins with .*states 00000000. Delete"):
        fetch(server, path, md5="00000000")
