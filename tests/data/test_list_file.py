"""Lists of images in text files."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.data import Listed, open_source, write_list
from s2bnn_tf.errors import DataError


@pytest.fixture
def pictures(tmp_path):
    names = ["a.png", "b c.png", os.fsdecode(b"d\xff.png")]
    for index, name in enumerate(names):
        Image.fromarray(np.full((9, 9, 3), index, np.uint8)).save(tmp_path / name, "PNG")
    return names


def test_what_is_written_is_read(pictures, tmp_path):
    images = [
        Listed(tmp_path / pictures[0], "cat", "train"),
        Listed(tmp_path / pictures[1], "a dog", "test"),
        Listed(tmp_path / pictures[2], "", "train"),
    ]
    write_list(tmp_path / "list.tsv", images)
    train = open_source(f"list:{tmp_path / 'list.tsv'}", "train")
    test = open_source(f"list:{tmp_path / 'list.tsv'}", "test")
    assert train.class_names == test.class_names == ("a dog", "cat")
    assert (train.labels.tolist(), test.labels.tolist()) == ([1, -1], [0])
    assert [train.read(i)[0, 0, 0] for i in range(2)] + [test.read(0)[0, 0, 0]] == [0, 2, 1]


def test_paths_alone_are_training_images(pictures, tmp_path):
    """With a mark of the byte order, another end of line and empty lines, as editors write."""
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.png\r\n\r\nb c.png")
    source = open_source(f"list:{tmp_path / 'list.txt'}", "train")
    assert len(source) == 2 and source.labels is None
    with pytest.raises(DataError, match="lists no test image; write test in the third column"):
        open_source(f"list:{tmp_path / 'list.txt'}", "test")


@pytest.mark.parametrize(
    "line", ["a.png\tcat\tvalidation", "a.png\tcat\ttest\tmore", "\tcat", "a\0b.png"]
)
def test_a_line_that_is_not_understood(line, pictures, tmp_path):
    (tmp_path / "list.txt").write_text(f"a.png\n{line}\n")
    with pytest.raises(DataError, match="Line 2 of .* is not a path, a class and train or test"):
        open_source(f"list:{tmp_path / 'list.txt'}", "train")


def test_a_name_that_cannot_be_listed(tmp_path):
    with pytest.raises(DataError, match="cannot be listed; rename the file"):
        write_list(tmp_path / "list.txt", [Listed(tmp_path / "a\tb.png")])


def test_a_list_that_is_none(tmp_path):
    for name in ("none.txt", "."):
        with pytest.raises(DataError, match="Cannot read the list"):
            open_source(f"list:{tmp_path / name}", "train")
