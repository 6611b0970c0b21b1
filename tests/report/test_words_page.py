"""The page of all words: every one is there, each picture once, and it stays small."""

from __future__ import annotations

import re

import numpy as np

from s2bnn_tf.data import open_source
from s2bnn_tf.report import FoundByWords, write_words_page


def found(count: int, pictures: int) -> FoundByWords:
    rng = np.random.default_rng(0)
    named = rng.integers(1, 9, count)
    student, teacher = rng.integers(0, pictures, (2, count, 5))
    return FoundByWords([f"<word> {n}" for n in range(count)], student, teacher, named, named - 1)


def test_every_word_is_shown_in_order_and_each_picture_is_there_once(tmp_path):
    source = open_source("digits", "test")
    given = found(1000, 300)
    write_words_page(tmp_path / "words.html", "Words of site", given, source)
    page = (tmp_path / "words.html").read_text()
    shown = re.findall(r"<h2>(.*?) <small>(\d+) of (\d+)</small></h2>", page)
    wanted = [(f"&lt;word&gt; {n}", str(k - 1), str(k)) for n, k in enumerate(given.named)]
    assert shown == wanted
    assert "that the teacher uses most" not in page
    pictures = re.findall(r"^\.p\d+\{background-image:url\((.*?)\)\}$", page, re.M)
    used = np.unique([given.student, given.teacher])
    assert len(pictures) == len(used) == page.count("data:image/jpeg")
    strips = re.findall(r'aria-label="(\w+)".*?>(.*?)</div>', page)
    assert [who for who, _ in strips] == ["Student", "Teacher"] * 1000
    for strip, row in ((14, given.student[7]), (15, given.teacher[7])):
        places = [int(place) for place in re.findall(r"p(\d+)", strips[strip][1])]
        assert used[places].tolist() == row.tolist()
    assert len(page) < 2**20
    assert "http" not in page and "<script" not in page


def test_of_very_many_words_those_that_are_used_most(tmp_path):
    given = found(2003, 40)
    given.named[[5, 7, 2002]] = 0
    write_words_page(tmp_path / "words.html", "Words", given, open_source("digits", "test"))
    page = (tmp_path / "words.html").read_text()
    assert "Of 2,003 words, these are the 2,000 that the teacher uses most." in page
    names = re.findall(r"<h2>&lt;word&gt; (\d+) ", page)
    assert names == [str(n) for n in range(2003) if n not in (5, 7, 2002)]
