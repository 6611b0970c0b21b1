"""A command that is misspelt, at the top and in a group."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from s2bnn_tf.cli import main


@pytest.mark.parametrize(
    ("words", "offered"),
    [(["embd"], "embed"), (["eval", "kn", "run"], "knn"), (["teachers", "gett"], "get")],
)
def test_the_nearest_command_is_offered(words, offered):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert f"Did you mean '{offered}'?" in done.output


def test_a_word_that_is_near_to_none_offers_none():
    assert "Did you mean" not in CliRunner().invoke(main, ["xyzzy"]).output
