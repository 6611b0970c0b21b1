"""`s2bnn-run --mqtt` against a real broker, Debian's mosquitto; `make test-extras` runs it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import queue
import shutil
import socket
import subprocess
import threading

import pytest
from commands import complain, say
from test_few_shot import lines
from test_watch import learned, paint  # noqa: F401

from s2bnn_runtime import S2bnnError
from s2bnn_runtime.mqtt import publish, read_address
from s2bnn_runtime.rows import Row

BROKER = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("broker/door", ("broker", 1883, "door")),
        ("10.0.0.1:1884/line 3/camera", ("10.0.0.1", 1884, "line 3/camera")),
        ("::1/door", ("::1", 1883, "door")),
        ("[::1]:99/door", ("::1", 99, "door")),
    ],
)
def test_an_address_is_read(text, address):
    assert read_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "broker",
        "broker/",
        "/door",
        "broker:0/x",
        "broker:70000/x",
        "a/+/x",
        "a/#",
        "mqtt://a/b",
    ],
)
def test_no_address(text):
    with pytest.raises(argparse.ArgumentTypeError, match="HOST/TOPIC"):
        read_address(text)


@pytest.mark.skipif(
    importlib.util.find_spec("paho") is not None, reason="only without paho-mqtt, an extra"
)
def test_the_extra_is_named():
    with pytest.raises(S2bnnError, match=r"pip install 's2bnn-runtime\[mqtt\]'"):
        next(publish(iter([Row({}, "")]), read_address("localhost/door")))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if importlib.util.find_spec("paho") is not None and BROKER is not None:
    from paho.mqtt import client as paho

    @pytest.fixture
    def start(tmp_path):
        """A function that starts a broker, and returns its port."""
        processes = []

        def start(*settings: str) -> int:
            port = free_port()
            file = tmp_path / "mosquitto.conf"
            file.write_text("\n".join([f"listener {port} 127.0.0.1", *settings]) + "\n")
            process = subprocess.Popen(
                [BROKER, "-c", file], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            processes.append(process)
            while " running" not in (line := process.stderr.readline()):
                assert line, "the broker has ended"
            return port

        yield start
        for process in processes:
            process.kill()
            process.communicate()

    @pytest.fixture
    def heard():
        """A function that subscribes to a topic, and returns a queue of what is published."""
        clients = []

        def heard(port: int, topic: str) -> queue.Queue:
            client = paho.Client(paho.CallbackAPIVersion.VERSION2)
            clients.append(client)
            messages: queue.Queue = queue.Queue()
            ready = threading.Event()
            client.on_message = lambda *given: messages.put(given[-1].payload)
            client.on_subscribe = lambda *_: ready.set()
            client.on_connect = lambda *_: client.subscribe(topic, 1)
            client.connect("127.0.0.1", port)
            client.loop_start()
            assert ready.wait(30)
            return messages

        yield heard
        for client in clients:
            client.disconnect()
            client.loop_stop()

    def test_what_json_prints_is_published(start, heard, learned, tmp_path, capsys):  # noqa: F811
        port = start("allow_anonymous true")
        messages = heard(port, "door/camera")
        pictures = [paint(tmp_path / "new" / f"{n}.png", "red", 90 + n) for n in range(3)]
        arguments = [
            "classify",
            learned / "color.tflite",
            learned / "classes.npz",
            *pictures,
            "--json",
        ]
        arguments += ["--mqtt", f"127.0.0.1:{port}/door/camera"]
        printed = lines(say(capsys, *arguments))
        assert [json.loads(messages.get(timeout=30)) for _ in range(3)] == printed
        assert messages.empty()

    def test_a_record_comes_while_the_next_picture_is_awaited(start, heard):
        port = start("allow_anonymous true")
        messages = heard(port, "t")
        rows = publish(
            iter([Row({"path": "ä"}, ""), Row(None, "x")]), read_address(f"127.0.0.1:{port}/t")
        )
        next(rows)
        assert json.loads(messages.get(timeout=30)) == {"path": "ä"}
        rows.close()

    def test_a_broker_that_is_not_there_or_refuses(start, learned, capsys):  # noqa: F811
        picture = learned / "red" / "0.png"
        command = ["classify", learned / "color.tflite", learned / "classes.npz", picture, "--mqtt"]
        said = complain(capsys, *command, f"127.0.0.1:{free_port()}/t")
        assert "cannot be reached (Connection refused); check its address" in said
        said = complain(capsys, *command, f"127.0.0.1:{start('allow_anonymous false')}/t")
        assert "refused the connection (Not authorized)" in said
