"""`s2bnn-run index|search|duplicates|cluster|confirm` and the audit, on real pictures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import complain, say
from PIL import Image
from test_few_shot import encoder, lines, pictures  # noqa: F401  (fixtures)

from s2bnn_runtime import indexing
from s2bnn_runtime.cli import main
from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.images import picture_files
from s2bnn_runtime.index import PRECISIONS, PictureIndex


@pytest.fixture
def folder(pictures, tmp_path):  # noqa: F811
    """A copy of the pictures that a test may change."""
    return shutil.copytree(pictures, tmp_path / "photos")


def paths(text: str) -> list[str]:
    return [row["path"] for row in lines(text)]


def test_an_index_follows_its_folder(
    encoder,  # noqa: F811
    pictures,  # noqa: F811
    folder,
    tmp_path,
    capsys,
):
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
    query = tmp_path / "query.png"
    for rest in (["search", query, index], ["duplicates", index], ["cluster", index]):
        for json_option in ([], ["--json"]):
            said = complain(capsys, rest[0], encoder, *rest[1:], *json_option)
            assert "there is no picture in the index; add some with `s2bnn-run index`" in said
    assert paths(say(capsys, "search", encoder, query, index, pictures, "--json"))
    say(capsys, "index", encoder, query, index)
    assert "no picture but" in complain(capsys, "search", encoder, query, index, "--json")


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


@pytest.mark.parametrize("method", ["k-means", "agglomerative"])
def test_clusters_are_the_colors(method, encoder, folder, tmp_path, capsys):  # noqa: F811
    page = tmp_path / "page.html"
    arguments = ("cluster", encoder, folder, "--clusters", 3, "--label-first", 3, "--page", page)
    arguments += ("--method", method)
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


def test_folders_patterns_and_files_work_alike(
    encoder,  # noqa: F811
    folder,
    tmp_path,
    capsys,
    monkeypatch,
):
    monkeypatch.chdir(folder.parent)
    query = folder / "green" / "2.png"
    ways = (["photos"], ["photos/*/*.png"], ["photos/**/*.png"], ["photos/*"])
    ways += (sorted(map(str, folder.rglob("*.png"))), ["photos", "photos/*/*.png"])
    found = []
    for number, way in enumerate(ways):
        rows = lines(say(capsys, "search", encoder, query, *way, "--top-k", 99, "--json"))
        found.append([(str(Path(row["path"]).absolute()), row["score"]) for row in rows])
        (made,) = lines(say(capsys, "index", encoder, *way, tmp_path / f"{number}.npz", "--json"))
        assert made["pictures"] == 12
    assert len(found[0]) == 11 and all(rows == found[0] for rows in found)
    both = say(capsys, "duplicates", encoder, "photos", tmp_path / "0.npz", "--similarity", 0.9999)
    assert both == "No two pictures show the same.\n", "a picture is no duplicate of itself"
    for verb in (["search", encoder, query], ["duplicates", encoder]):
        assert "there is no picture in" in complain(capsys, *verb, "photos/*.gif")
    assert "does not exist" in complain(
        capsys, "index", encoder, "photos/*.gif", tmp_path / "0.npz"
    )
    (folder / "[1].png").write_bytes(query.read_bytes())
    rows = lines(say(capsys, "search", encoder, query, "photos/[1].png", "--json"))
    assert rows[0]["score"] == pytest.approx(1, abs=1e-5), "a file of that name is no pattern"


def test_an_interrupted_index_continues(encoder, folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(indexing, "_SAVE_AFTER", 0)
    monkeypatch.setattr(indexing, "_SAVE_SHARE", 0)
    path, embedder = tmp_path / "photos.npz", Embedder(encoder)
    files = picture_files([folder])
    index = indexing.open_index(path, embedder)
    reading = indexing.update(index, embedder, *indexing.changes(index, files), path)
    for _ in range(8):
        next(reading)
    reading.close()  # as Ctrl-C does
    index = indexing.open_index(path, embedder)
    assert index.paths == list(map(str, files[:7])), "what came before the last one is saved"
    gone, new = indexing.changes(index, files)
    assert [path for path, _ in new] == files[7:]
    assert not any(seen.error for seen in indexing.update(index, embedder, gone, new, path))
    assert indexing.open_index(path, embedder).paths == list(map(str, files))


def test_two_that_index_at_once_lose_nothing(encoder, folder, tmp_path):  # noqa: F811
    path, embedder = tmp_path / "index.npz", Embedder(encoder)
    files = picture_files([folder])
    parts, readings = (files[::2], files[1::2]), []
    for part in parts:  # both have begun before either of them writes
        index = indexing.open_index(path, embedder)
        readings.append(indexing.update(index, embedder, *indexing.changes(index, part), path))
        next(readings[-1])
    for reading in readings:
        assert not any(seen.error for seen in reading)
    assert sorted(indexing.open_index(path, embedder).paths) == sorted(map(str, files))


def test_with_json_each_line_is_an_object_and_all_else_is_elsewhere(
    encoder,  # noqa: F811
    folder,
    tmp_path,
    capsys,
):
    (folder / "red" / "broken.png").write_text("no picture")
    shutil.copy(folder / "red" / "1.png", folder / "red" / "copy.png")
    index, classes, normal = (tmp_path / f"{name}.npz" for name in ("index", "classes", "normal"))
    query = folder / "red" / "0.png"
    verbs = {
        "index": ["index", encoder, folder, index],
        "enroll": ["enroll", encoder, classes, "red", folder / "red"],
        "normal": ["normal", encoder, normal, folder],
        "search": ["search", encoder, query, folder],
        "duplicates": ["duplicates", encoder, folder],
        "cluster": ["cluster", encoder, folder],
        "classify": ["classify", encoder, classes, folder],
        "inspect": ["inspect", encoder, normal, folder],
    }
    needed = {
        "search": {"score", "query"},
        "duplicates": {"duplicate_of", "score"},
        "cluster": {"cluster", "label_first"},
        "classify": {"class", "score", "threshold"},
        "inspect": {"score", "threshold", "unusual"},
    }
    for verb, arguments in verbs.items():
        assert main([*map(str, arguments), "--json"]) == 1, "one picture is broken"
        printed = capsys.readouterr()
        rows = [json.loads(line) for line in printed.out.splitlines()]
        assert all(isinstance(row, dict) for row in rows)
        assert sum("error" in row for row in rows) == 1
        assert "broken.png" in printed.err
        for row in rows:
            if verb in needed:
                assert row["path"] and (("error" in row) or row["milliseconds"] >= 0), verb
                assert "error" in row or needed[verb] <= set(row)
    assert "milliseconds" in rows[0]


FULL_DISK = """
mount -t tmpfs -o size=48k tmpfs {disk} || exit 77
{python} -m s2bnn_runtime index {encoder} {few} {disk}/index.npz || exit 78
cp {disk}/index.npz {before}
{python} -m s2bnn_runtime index {encoder} {many} {disk}/index.npz
echo "status $?"
cmp {disk}/index.npz {before} && ls -A {disk}
"""


def test_a_full_disk_leaves_the_index_before(encoder, folder, tmp_path):  # noqa: F811
    """On a real disk of 48 KB, where the user may mount one in a space of their own."""
    (disk := tmp_path / "disk").mkdir()
    (many := tmp_path / "many").mkdir()
    for number in range(120):
        shutil.copy(folder / "red" / "0.png", many / f"{number} {'long name' * 20}.png")
    script = FULL_DISK.format(
        disk=disk,
        python=sys.executable,
        encoder=encoder,
        few=folder / "red",
        before=tmp_path / "before.npz",
        many=many,
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    if done.returncode in (1, 77) and "status" not in done.stdout:
        pytest.skip("this system has no user namespaces")
    assert "status 1" in done.stdout, done.stdout + done.stderr
    complaint = [line for line in done.stderr.splitlines() if line.startswith("s2bnn-run: ")]
    assert complaint == [f"s2bnn-run: {disk}/index.npz: No space left on device"]
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] == "index.npz", "nothing half-written is left"


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
