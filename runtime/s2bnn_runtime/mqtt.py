"""Rows published on an MQTT broker, as the JSON objects that `--json` prints."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from s2bnn_runtime.errors import S2bnnError, one_line
from s2bnn_runtime.rows import Rows

_PORT = 1883
_PATIENCE = 10.0  # seconds for the broker to answer
_MOST_WAITING = 1000  # messages that are kept while the broker is away; older ones stay
_AT_LEAST_ONCE = 1


class Address(NamedTuple):
    """Where to publish."""

    host: str
    port: int
    topic: str


def read_address(text: str) -> Address:
    """Read HOST/TOPIC or HOST:PORT/TOPIC from the command line."""
    server, _, topic = text.partition("/")
    host, colon, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
    if server.startswith("["):  # an IPv6 address
        host, _, rest = server[1:].partition("]")
        colon, port = rest[:1], rest[1:]
    good_port = not colon or (port.isascii() and port.isdecimal() and 0 < int(port) < 2**16)
    good_topic = topic and not set(topic) & set("+#\0") and len(topic.encode()) < 2**16
    if not (host and good_port and good_topic):
        raise argparse.ArgumentTypeError(
            f"HOST/TOPIC or HOST:PORT/TOPIC is needed, with a topic without + and #, not {text!r}"
        )
    return Address(host, int(port) if colon else _PORT, topic)


def publish(rows: Rows, address: Address) -> Rows:
    """Publish the record of each row, at least once, and yield the row.

    If the broker is away for a while, the records wait for it.

    Raises:
        S2bnnError: If paho-mqtt is not installed, if the broker cannot be reached at the start, or
            if it has not taken everything at the end.
    """
    with _connected(address) as client:
        sent = None
        for row in rows:
            if row.record is not None:
                sent = client.publish(
                    address.topic, json.dumps(row.record, allow_nan=False), _AT_LEAST_ONCE
                )
            yield row
        if sent is not None:
            _wait_for(sent, address)


def _wait_for(sent: Any, address: Address) -> None:
    """Wait until the last message has arrived, before which all others have."""
    try:
        sent.wait_for_publish(_PATIENCE)
        arrived = sent.is_published()
    except (RuntimeError, ValueError):  # it was not sent, or too many wait already
        arrived = False
    if not arrived:
        raise S2bnnError(f"the MQTT broker {address.host}:{address.port} has not taken everything")


@contextmanager
def _connected(address: Address) -> Iterator[Any]:
    try:
        from paho.mqtt import client as paho
    except ImportError as error:
        raise S2bnnError("--mqtt needs paho-mqtt: pip install 's2bnn-runtime[mqtt]'") from error
    answered = threading.Event()
    refused: list[str] = []

    def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        refused[:] = [str(reason)] if reason.is_failure else []
        answered.set()

    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_connect = on_connect
    client.max_queued_messages_set(_MOST_WAITING)
    where = f"the MQTT broker {address.host}:{address.port}"
    try:
        client.connect(address.host, address.port)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise S2bnnError(f"{where} cannot be reached ({reason}); check its address") from error
    client.loop_start()
    try:
        if not answered.wait(_PATIENCE):
            raise S2bnnError(f"{where} does not answer; check its address")
        if refused:
            raise S2bnnError(f"{where} refused the connection ({refused[0]}); check its settings")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()
