"""`s2bnn-run index|search|duplicates|cluster|confirm` and the audit, on real pictures."""

from __future__ import annotations

import re
import shutil

import pytest
from commands import complain, say
from PIL import Image
from test_few_shot import encoder, lines, pictures  # noqa: F401  (fixtures)

from s2bnn_runtime.index import PRECISIONS, PictureIndex


@pytest.fixture
def folder(pictures, tmp_path):  # noqa: F811
    """A copy of the pictures that a test may change."""
    return shutil.copytree(pictures, tmp_path / "photos")


def paths(text: str) -> list[str]:
    return [row["path"] for row in lines(text)]


def test_an_index_follows_its_folder(encoder, folder, tmp_path, capsys):  # noqa: F811
    index = tmp_path / "photos.npz"
    arguments = ("index", encoder, folder, index, "--json")
    (made,) = lines(say(capsys, *arguments))
    assert (made["pictures"], made["added"], made["removed"]) == (12, 12, 0)
    before = index.stat().st_mtime_ns
    (again,) = lines(say(capsys, *arguments))
    assert (again["pictures"], again["added"], again["removed"]) == (12, 0, 0)

    query = folder / "green" / "2.png"
    for precision in PRECISIONS:
        search = ("search", encoder, query, index, "--precision", precision, "--json")
        found = paths(say(capsys, *search))
        assert str(query) not in found
        assert set(found[:3]) == {str(folder / "green" / f"{n}.png") for n in (0, 1, 3)}
    from_folder = lines(say(capsys, "search", encoder, query, folder, "--json"))
    from_index = lines(say(capsys, "search", encoder, query, index, "--json"))
    for one, other in zip(from_folder, from_index):
        assert one["path"] == other["path"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-6)

    (folder / "green" / "0.png").rename(folder / "renamed.png")
    (folder / "red" / "0.png").unlink()
    shutil.copy(folder / "blue" / "0.png", folder / "red" / "1.png")  # changed
    (changed,) = lines(say(capsys, *arguments))
    assert (changed["pictures"], changed["added"], changed["removed"]) == (11, 2, 2)
    assert index.stat().st_mtime_ns > before
    found = paths(say(capsys, "search", encoder, query, index, "--top-k", 20, "--json"))
    assert str(folder / "renamed.png") in found[:3]
    assert str(folder / "green" / "0.png") not in found and len(found) == 10
    first = paths(say(capsys, "search", encoder, folder / "blue" / "0.png", index, "--json"))[0]
    assert first == str(folder / "red" / "1.png")

    shutil.rmtree(folder)
    assert f"{folder} does not exist" in complain(capsys, *arguments[:-1])
    assert len(PictureIndex.load(index)) == 11  # a folder that has gone may come back
    folder.mkdir()
    (emptied,) = lines(say(capsys, *arguments))
    assert (emptied["pictures"], emptied["removed"]) == (0, 11)
    Image.new("RGB", (9, 9)).save(tmp_path / "query.png")
    assert say(capsys, "search", encoder, tmp_path / "query.png", index) == ""


def test_mistakes_with_an_index_are_one_sentence(encoder, folder, tmp_path, capsys):  # noqa: F811
    index, other = tmp_path / "photos.npz", tmp_path / "other.tflite"
    query = folder / "red" / "0.png"
    say(capsys, "index", encoder, folder, index)
    before = index.read_bytes()
    other.write_bytes(encoder.read_bytes() + bytes(4))
    for verb in (["index", other, folder, index], ["search", other, query, index]):
        assert "was made with another model" in complain(capsys, *verb)
    assert index.read_bytes() == before
    assert "must be named *.npz" in complain(capsys, "index", encoder, folder, tmp_path / "index")
    say(capsys, "enroll", encoder, tmp_path / "classes.npz", "red", query)
    no_index = complain(capsys, "search", encoder, query, tmp_path / "classes.npz")
    assert "classes.npz is no index of pictures; `s2bnn-run index` makes" in no_index
    assert "no picture but" in complain(capsys, "search", encoder, query, query)
    assert "must be named *.html" in complain(
        capsys, "cluster", encoder, index, "--page", tmp_path / "page.txt"
    )


def test_a_copy_is_a_duplicate_and_a_page_shows_it(encoder, folder, tmp_path, capsys):  # noqa: F811
    shutil.copy(folder / "red" / "1.png", folder / "copy <1>.png")
    index, page = tmp_path / "photos.npz", tmp_path / "page.html"
    say(capsys, "index", encoder, folder, index)
    (found,) = lines(
        say(
            capsys,
            *("duplicates", encoder, index, "--similarity", 0.9999, "--page", page, "--json"),
        )
    )
    pair = {found["path"], found["duplicate_of"]}
    assert pair == {str(folder / "red" / "1.png"), str(folder / "copy <1>.png")}
    assert found["score"] == pytest.approx(1, abs=1e-4)
    written = page.read_text()
    assert written.count("data:image/jpeg;base64,") == 2
    assert "copy &lt;1&gt;.png" in written and "copy <1>" not in written
    (folder / "copy <1>.png").unlink()
    said = say(capsys, "duplicates", encoder, folder, "--similarity", 0.9999)
    assert said == "No two pictures show the same.\n"


def test_clusters_are_the_colors(encoder, folder, tmp_path, capsys):  # noqa: F811
    page = tmp_path / "page.html"
    arguments = ("cluster", encoder, folder, "--clusters", 3, "--label-first", 3, "--page", page)
    found = lines(say(capsys, *arguments, "--json"))
    by_color = {}
    for row in found:
        by_color.setdefault(row["path"].split("/")[-2], set()).add(row["cluster"])
    assert sorted(by_color.values(), key=min) == [{0}, {1}, {2}]
    first = [row for row in found if row["label_first"]]
    assert {row["path"].split("/")[-2] for row in first} == {"red", "green", "blue"}
    assert sorted(row["label_first"] for row in first) == [1, 2, 3]
    assert page.read_text().count("<figure>") == 12 + 3
    assert len(re.findall("label [123]", say(capsys, *arguments))) == 3


def test_confirmed_pictures_and_an_audit(encoder, folder, tmp_path, capsys):  # noqa: F811
    classes = tmp_path / "colors.npz"
    for name in ("red", "green"):
        say(
            capsys,
            "enroll",
            encoder,
            classes,
            name,
            folder / name / "0.png",
            folder / name / "1.png",
        )
    assert "no class 'blue'" in complain(
        capsys, "confirm", encoder, classes, "blue", folder / "blue"
    )
    (said,) = lines(say(capsys, "confirm", encoder, classes, "red", folder / "red", "--json"))
    assert (said["added"], said["classes"]) == (2, {"red": 4, "green": 2})
    assert "(4 were examples before)" in say(
        capsys, "confirm", encoder, classes, "red", folder / "red"
    )
    wrong = folder / "green" / "3.png"
    say(capsys, "confirm", encoder, classes, "red", wrong)
    say(capsys, "enroll", encoder, classes, "green", wrong, "--prototypes", 2)
    before = classes.read_bytes()
    red, green = lines(say(capsys, "enroll", encoder, classes, "--audit", "--json"))
    assert (red["name"], red["examples"], green["examples"]) == ("red", 5, 3)
    assert red["wrong"] == [[str(wrong), "green"]] and red["shared"] == [[str(wrong), "green"]]
    assert red["recognized"] == pytest.approx(0.8) and red["confused_with"] == "green"
    said = say(capsys, "enroll", encoder, classes, "--audit")
    assert f"  looks like green: {wrong}" in said
    assert f"  is an example of red as well: {wrong}" in said
    assert classes.read_bytes() == before
    assert "nothing to do" in complain(capsys, "enroll", encoder, classes)
    assert "name pictures of 'red'" in complain(capsys, "enroll", encoder, classes, "red")
    assert "1 to 16 prototypes" in complain(
        capsys, "enroll", encoder, classes, "red", wrong, "--prototypes", 99
    )
    assert classes.read_bytes() == before


def test_the_help_names_every_verb_with_an_example():
    from s2bnn_runtime.verbs import VERBS, make_parser

    actions = make_parser()._subparsers._group_actions[0]
    assert set(actions.choices) == set(VERBS)
    for verb, parser in actions.choices.items():
        assert parser.epilog.startswith(f"example: s2bnn-run {verb} ")
        words = parser.epilog.split()[2:]
        make_parser().parse_args(words)
        assert all(action.help for action in parser._actions), verb
