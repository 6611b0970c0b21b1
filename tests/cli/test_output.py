"""What the library logs, on the terminal of a verb."""

from __future__ import annotations

import io
import logging

import pytest

from s2bnn_tf.cli.output import shown_log


@pytest.mark.both_sets
def test_a_message_is_shown_once_whoever_else_listens(capsys):
    """A library that gives the root logger a handler adds no second line with a prefix."""
    heard = io.StringIO()
    root, handler = logging.getLogger(), logging.StreamHandler(heard)
    root.addHandler(handler)
    try:
        with shown_log():
            for _ in range(2):
                logging.getLogger("s2bnn_tf.data").info("photos: 600 pictures.")
        logging.getLogger("s2bnn_tf.data").warning("after the verb")
    finally:
        root.removeHandler(handler)
    assert capsys.readouterr() == ("", "photos: 600 pictures.\n")
    assert heard.getvalue() == "after the verb\n"
