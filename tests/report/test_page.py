"""The page needs no network, trusts no name, and leaves out what it does not have."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.stats import binomtest

from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, dump_config
from s2bnn_tf.evaluation import Gallery, Mistakes
from s2bnn_tf.report import ReportColumn, read_column, write_report, write_run_report
from s2bnn_tf.report.charts import MARKERS, knn_chart, loss_chart, read_metrics
from s2bnn_tf.report.table import describe_protocol, make_table, summarize

HOSTILE = '<script>alert("1")</script>'
KNN = {"top1": 0.9, "top5": 1.0, "k": 20, "temperature": 0.07, "n_train": 1437, "n_test": 360}
CALIBRATION = {
    "dimensions": 4,
    "uniform_entropy": 1.386,
    "kl_mean": 0.25,
    "student": {
        "entropy_mean": 1.2,
        "mean_sorted_distribution": [0.5, 0.3, 0.2, 0.1],
        "entropy_histogram": {"from": 0.0, "to": 1.4, "counts": [1, 2, 3]},
    },
    "reliability": {
        "expected_calibration_error": 0.031,
        "bins": [{"from": 0.5, "to": 1.0, "count": 3, "confidence": 0.9, "accuracy": 0.8}],
    },
}
LOW_LABEL = {
    "draws": 5,
    "amounts": {"1%": {"top1": 0.7, "confidence_interval": [0.69, 0.71], "n_train": 14}},
}
LATENCY = {"latency_ms": {"median": 1.25}, "runs": 50, "threads": 1, "machine": "a", "engine": "b"}
LINEAR = {"top1": 0.95, "top5": 1.0, "C": 0.1, "C_chosen_on": "10% of the training split"}


class Page(HTMLParser):
    """Collects elements, their attributes and the text."""

    VOID = {"meta", "img", "br", "path", "use", "rect"}

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.attributes, self.words, self.open = [], [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    def sections(self):
        known = {
            "results",
            "training",
            "map",
            "neighbors",
            "calibration",
            "mistakes",
            "next",
            "parameters",
        }
        return [value for name, value in self.attributes if name == "id" and value in known]


def gallery(names=("cat", "dog")) -> Gallery:
    generator = np.random.default_rng(0)
    return Gallery(
        places=generator.normal(size=(40, 2)).astype(np.float32),
        place_labels=np.arange(40) % 2,
        query_images=generator.integers(0, 255, (2, 8, 8, 3), dtype=np.uint8),
        query_labels=np.array([0, 1]),
        neighbor_images=generator.integers(0, 255, (2, 8, 8, 8, 3), dtype=np.uint8),
        neighbor_labels=np.array([[0] * 8, [1] * 5 + [0] * 3]),
        similarities=np.full((2, 8), 0.5, np.float32),
        class_names=np.array(names, np.str_),
    )


def mistakes(names=("cat", "dog")) -> Mistakes:
    return Mistakes(
        confusion=np.array([[37, 3], [0, 41]]),
        images=np.zeros((3, 8, 8, 3), np.uint8),
        labels=np.array([0, 0, 0]),
        predicted=np.array([1, 1, 1]),
        confidence=np.array([0.99, 0.7, 0.6], np.float32),
        class_names=np.array(names),
    )


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [{"epoch": i, "loss": 4 / i, "knn": 1 - 0.5 / i} for i in range(1, 6)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"epoch": 6, "lo')
    return path


def full_report(path, metrics, name="Student") -> str:
    write_report(
        path,
        title=name,
        columns=[
            ReportColumn("Teacher", "teacher", KNN, LINEAR, 2_800_000, 0, 41_000_000),
            ReportColumn(
                name,
                "student",
                KNN,
                LINEAR,
                85_000,
                38_000_000,
                1_400_000,
                "cosine 1.0",
                LOW_LABEL,
                {"top1": 0.97},
                CALIBRATION,
                LATENCY,
            ),
        ],
        curves={"Teacher": metrics, name: metrics},
        galleries={name: gallery((name, "$x^{$"))},
        mistakes={name: mistakes((name, "$x^{$"))},
        commands=[(f"s2bnn embed {name}", f"Embed {name}")],
        configs={name: f"seed: 0  # {name}"},
    )
    return path.read_text(encoding="utf-8")


def test_nothing_is_fetched(tmp_path, metrics):
    html = full_report(tmp_path / "report.html", metrics)
    page = Page(html)
    assert not page.open, "every element is closed"
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    for name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert value.startswith(("data:image/png;base64,", "#")), value
    for target in re.findall(r"url\(([^)]*)\)", html):
        assert target.startswith("#")
    assert "@import" not in html
    assert "http://" not in html
    assert "https://" not in html


def test_references_inside_the_page_lead_somewhere_and_are_unique(tmp_path, metrics):
    html = full_report(tmp_path / "report.html", metrics)
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids)) > 6, "also those of charts that look the same"
    for pair in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', html):
        assert (pair[0] or pair[1]) in ids


def test_hostile_names_stay_text(tmp_path, metrics):
    html = full_report(tmp_path / "report.html", metrics, name=HOSTILE)
    page = Page(html)
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE in page.text, "shown as it is written"


def test_everything_given_is_there(tmp_path, metrics):
    page = Page(full_report(tmp_path / "report.html", metrics))
    assert page.sections() == [
        "results",
        "training",
        "map",
        "neighbors",
        "calibration",
        "mistakes",
        "next",
        "parameters",
    ]
    text = page.text.replace("\N{NO-BREAK SPACE}", " ")
    for words in ("90.0 %", "95.0 %", "83 KiB", "2.7 MiB", "38 M", "1.4 M", "cosine 1.0"):
        assert words in text
    for words in ("70.0 % (69.0 to 71.0)", "97.0 %", "3.1 %", "0.25 nats", "1.20 nats", "1.25 ms"):
        assert words in text
    assert "taken for $x^{$ , 99 %" in text
    assert page.text.count("The queue of") == 0
    classes = [value for name, value in page.attributes if name == "class"]
    assert classes.count("tile wrong") == 3
    assert classes.count("zero") == 1
    assert page.tags.count("img") == 2 * 9 + 3
    assert page.tags.count("svg") == 4 + 3


@pytest.mark.parametrize("classes", [21, 1000])
def test_of_many_classes_the_most_confused_pairs_are_listed(classes, tmp_path):
    confusion = 5 * np.eye(classes, dtype=np.int64)
    confusion[3, 7], confusion[2, 1], confusion[4, 5] = 4, 4, 1
    confusion[3, 3] = 0  # 4 of 4 is more than 4 of 9
    names = np.array([f"c{i}" for i in range(classes)])
    many = dataclasses.replace(mistakes(), confusion=confusion, class_names=names)
    write_report(tmp_path / "report.html", title="many", mistakes={"run": many})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert f"wrong on 9 of {5 * classes + 4:,} test images." in page.text
    assert f"Of the {classes:,} classes, these are confused most often." in page.text
    assert "each row is a class" not in page.text.lower(), "there is no matrix to describe"
    listed = page.text.split("class taken for images ")[1].split(" c0,")[0].split(" c0 ,")[0]
    assert listed == "c3 c7 4 of 4 c2 c1 4 of 9 c4 c5 1 of 6"
    assert page.tags.count("img") == 3


def test_a_matrix_is_described_where_there_is_one(tmp_path):
    write_report(tmp_path / "report.html", title="few", mistakes={"run": mistakes()})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "wrong on 3 of 81 test images. Each row is a class" in page.text
    assert "pairs" not in [value for name, value in page.attributes if name == "class"]


def test_neighbors_are_named(tmp_path):
    write_report(tmp_path / "report.html", title="named", galleries={"run": gallery()})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "cat , nearest: cat (8×)" in page.text
    assert "dog , nearest: dog (5×), cat (3×)" in page.text
    of_all_kinds = dataclasses.replace(
        gallery([f"c{i}" for i in range(9)]), neighbor_labels=np.array([[0, 0, *range(3, 9)]] * 2)
    )
    write_report(tmp_path / "report.html", title="many", galleries={"run": of_all_kinds})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "c0 , nearest: c0 (2×), c3 (1×) , c4 (1×) , and 4 others" in page.text


def test_pictures_without_labels_have_neighbors_and_a_map_of_one_color(tmp_path):
    bare = dataclasses.replace(
        gallery(()),
        place_labels=np.full(40, -1),
        query_labels=np.full(2, -1),
        neighbor_labels=np.full((2, 8), -1),
        class_counts=np.array([40]),
    )
    bare.save(tmp_path / "gallery.npz")
    bare = Gallery.load(tmp_path / "gallery.npz")
    columns = [ReportColumn("student", "student", neighbors_kept=0.75, rank=12.34)]
    write_report(tmp_path / "report.html", title="none", columns=columns, galleries={"run": bare})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.sections() == ["results", "map", "neighbors"]
    text = page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "nearest neighbor kept 75.0 % Effective rank 12.3" in text
    assert "On the left is a test image; on the right" in text
    for words in ("Colors show", "another class", "Shown:"):
        assert words not in text
    assert page.tags.count("img") == 18


def test_one_name_for_one_number(tmp_path, metrics):
    """The table is of the test images, and the curve of some that were held out of training."""
    write_report(
        tmp_path / "report.html",
        title="run",
        columns=[ReportColumn("run", knn=KNN)],
        curves={"run": metrics},
    )
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.text.count("kNN accuracy") == 2, "the row, and the note that tells them apart"
    assert "Score while training, by nearest neighbors" in page.text
    assert "they are not the kNN accuracy of the test images" in page.text


def test_a_queue_that_fills_explains_a_loss_that_rises(tmp_path):
    """50 steps an epoch."""
    lines = [{"epoch": i, "step": 50 * i, "loss": 3.0 + i} for i in range(1, 5)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def page(queue_size: int | None = None) -> Page:
        if queue_size is not None:
            objective = ObjectiveConfig(
                contrastive_weight=1.0, distillation_weight=0.0, queue_size=queue_size
            )
            recipe = Config(data=DataConfig(batch_size=100), objective=objective)
            (tmp_path / "config.yaml").write_text(dump_config(recipe))
        write_report(
            tmp_path / "report.html", title="run", curves={"run": tmp_path / "metrics.jsonl"}
        )
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    def lines_drawn(page: Page) -> int:
        return sum("stroke-dasharray" in (value or "") for _, value in page.attributes)

    assert "random keys" not in page().text, "nothing is known of the run"
    assert "random keys" not in page(400).text, "4 steps do not show in the mean of 50"
    part = page(2000)  # 0.4 epochs, before the first point
    assert "The queue of run starts with random keys, and the loss rises until" in part.text
    assert lines_drawn(page(12_500)) == lines_drawn(part) + 1, "at epoch 2.5"
    (tmp_path / "config.yaml").write_text("seed: 7\n")
    assert "random keys" not in page().text, "a recipe that cannot be trained"


def test_numbers_that_were_measured_differently_are_told_apart():
    def column(name, **changes):
        return ReportColumn(name, knn={**KNN, "data": "digits", **changes})

    same = " ".join(describe_protocol([column("a"), column("b")]))
    assert "cannot be compared" not in same
    other = " ".join(describe_protocol([column("a"), column("b", n_test=10), column("c")]))
    assert (
        "The kNN accuracies cannot be compared directly. a, c: 360 test images of digits" in other
    )
    assert "b: 10 test images of digits" in other


def test_a_choice_that_nobody_made_is_not_claimed():
    probe = ReportColumn("run", linear={**LINEAR, "C_chosen_on": None})
    (said,) = describe_protocol([probe])
    assert "with a fixed regularization, since there are too few images to choose it." in said
    (said,) = describe_protocol([ReportColumn("run", linear=LINEAR)])
    assert "its regularization chosen on 10% of the training split." in said


@pytest.mark.parametrize(("right", "n_test"), [(50, 100), (109, 125), (10, 10), (0, 7)])
def test_it_is_said_how_much_of_a_number_is_chance(right, n_test):
    knn = {**KNN, "top1": right / n_test, "n_test": n_test}
    interval = binomtest(right, n_test).proportion_ci(method="wilson")
    said = " ".join(describe_protocol([ReportColumn("run", knn=knn)])).replace("\xa0", " ")
    share, low, high = (f"{100 * x:.1f} %" for x in (right / n_test, interval.low, interval.high))
    assert f"the 95 % confidence interval of {share} is {low} to {high}." in said


def test_a_hint_of_a_measure_is_shown(tmp_path):
    hint = "It was trained for 8 steps, which is too short to judge by; give more --epochs."
    columns = [ReportColumn("run", finetune={"top1": 0.017, "hint": hint})]
    write_report(tmp_path / "report.html", title="run", columns=columns)
    assert f"run: {hint}" in Page((tmp_path / "report.html").read_text("utf-8")).text


def test_everything_not_given_is_left_out(tmp_path):
    write_report(
        tmp_path / "report.html",
        title="nothing yet",
        columns=[ReportColumn("run")],
        curves={"run": tmp_path / "no.jsonl"},
        galleries={"run": None},
    )
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.sections() == []
    assert not {"h1", "h2", "table", "svg"} & set(page.tags)
    assert "nothing yet" in page.text


def test_a_run_by_itself(tmp_path, metrics):
    (tmp_path / "config.yaml").write_text("seed: 7\n")
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "knn.json").write_text(json.dumps({**KNN, "size_bytes": 2048}))
    gallery().save(tmp_path / "eval" / "gallery.npz")
    path = write_run_report(tmp_path)
    assert path == tmp_path / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert page.sections() == ["results", "training", "map", "neighbors", "parameters"]
    assert "seed: 7" in page.text
    assert "2 KiB" in page.text


def test_a_column_of_a_file_comes_from_its_results_and_its_card(tmp_path):
    model = tmp_path / "student.tflite"
    assert read_column(model, "student") == ReportColumn("student")
    parity = {"binary_convolutions": 14, "cosine_mean": 0.99991, "neighbour_agreement": 0.5}
    card = {
        "size_bytes": 85_000,
        "operations": {"binary_macs": 38, "float_macs": 2},
        "parity": parity,
    }
    (tmp_path / "student.json").write_text(json.dumps(card))
    (tmp_path / "student.eval").mkdir()
    (tmp_path / "student.eval" / "knn.json").write_text(json.dumps({**KNN, "size_bytes": 1}))
    column = read_column(model, "student", "tflite", binary_macs=39)
    assert column.knn == {**KNN, "size_bytes": 1}
    assert (column.size_bytes, column.binary_macs, column.float_macs) == (85_000, 39, 2)
    assert column.parity.replace("\N{NO-BREAK SPACE}", " ") == (
        "14 binary convolutions equal, cosine 0.9999, same neighbor for 50.0 %"
    )


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([], None),
        ([("run", None, None, None)], None),
        (
            [("run", None, 0.5, None)],
            "run recognizes 50.0 % of test images by their nearest neighbors.",
        ),
        (
            [
                ("a", "teacher", 0.7, 2**21, 0.9),
                ("b", "student", 0.483, 298 * 1024, 0.767),
                ("c", "untrained", 0.2, None, 0.8),
            ],
            "A 1-bit encoder of 298 KiB recognizes 76.7 % of test images by a linear probe and "
            "48.3 % by nearest neighbors; its teacher of 2.0 MiB, 90.0 %; that is no better than "
            "before training, 80.0 %.",
        ),
        (
            [("a", "teacher", 0.98, 2**21), ("b", "student", 0.96, 2**20)],
            "A 1-bit encoder of 1.0 MiB recognizes 96.0 % of test images by their nearest "
            "neighbors; its teacher of 2.0 MiB, 98.0 %.",
        ),
        (
            [
                ("b", "student", 0.96, None),
                ("c", "untrained", 0.6, None),
                ("d", "tflite", 0.95, 84992),
            ],
            "A 1-bit encoder of 83 KiB recognizes 95.0 % of test images by their nearest "
            "neighbors; before training, it was 60.0 %.",
        ),
        (
            [("b", "student", 0.6, None), ("c", "untrained", 0.6, None)],
            "A 1-bit encoder recognizes 60.0 % of test images by their nearest neighbors; "
            "that is no better than before training, 60.0 %.",
        ),
    ],
)
def test_the_headline_says_what_happened(columns, expected):
    made = [
        ReportColumn(
            name,
            role,
            top1 and {"top1": top1},
            {"top1": linear[0]} if linear else None,
            size_bytes=size,
        )
        for name, role, top1, size, *linear in columns
    ]
    headline = summarize(made)
    assert (headline and headline.replace("\N{NO-BREAK SPACE}", " ")) == expected


def test_the_first_sentence_alone_is_large(tmp_path):
    for headline, rest in (
        ("88.0 % are right. 3.5 % are not. Use it.", True),
        ("All right.", False),
    ):
        write_report(tmp_path / "report.html", title="a", headline=headline)
        page = (tmp_path / "report.html").read_text("utf-8")
        assert f"<h1>{'88.0 % are right.' if rest else 'All right.'}</h1>" in page
        assert ('<p class="more">3.5 % are not. Use it.</p>' in page) == rest
        assert ('<p class="more">' in page) == rest


def test_the_table_has_no_empty_rows_and_bars_in_proportion():
    rows = make_table([ReportColumn("a", size_bytes=1000), ReportColumn("b", size_bytes=250)])
    assert list(rows) == ["File size"]
    assert [cell.share for cell in rows["File size"]] == [1.0, 0.25]
    alone = make_table([ReportColumn("a", knn=KNN, size_bytes=1000)])
    assert alone["File size"][0].share is None, "there is nothing to compare it with"
    assert alone["kNN accuracy"][0].share == 0.9
    accuracy = make_table([ReportColumn("a", knn=KNN), ReportColumn("b")])["kNN accuracy"]
    assert [cell.share for cell in accuracy] == [0.9, None]
    lone = make_table([ReportColumn("a", size_bytes=1000), ReportColumn("b")])["File size"]
    assert [cell.share for cell in lone] == [None, None], "one of two has nothing to compare with"


def test_metrics_of_a_killed_and_resumed_run(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"epoch": 1, "loss": 3}\n{"epoch": 2, "loss": 9}\n{"epo\n[]\n{"epoch": 2, "loss": 2}\n'
    )
    assert [(m["epoch"], m["loss"]) for m in read_metrics(path)] == [(1, 3), (2, 2)]
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_charts_leave_out_what_is_not_a_number():
    assert loss_chart([{"epoch": 1, "loss": float("nan")}]) is None
    assert knn_chart({"a": [{"epoch": 1}], "b": []}) is None


@pytest.mark.parametrize("epochs", [[4], [1, 2], [1, 2, 3], [5, 10, 12], [1, 100]])
def test_epochs_are_whole_numbers(epochs):
    chart = loss_chart([{"epoch": i, "loss": 3.0 + i} for i in epochs])
    # The numbers of the horizontal axis are the texts on its lowest line.
    texts = re.findall(r'<text [^>]*?y="([0-9.]+)"[^>]*>([^<]+)</text>', chart.svg)
    assert texts, chart.svg[:500]
    lines = [float(y) for y, text in texts if text != "epoch"]
    ticks = [text for y, text in texts if text != "epoch" and float(y) == max(lines)]
    assert ticks and all(text.isdigit() for text in ticks)
    assert len(epochs) > 1 or ticks == ["4"]


def test_no_axis_goes_beyond_all_images():
    chart = knn_chart({"a": [{"epoch": 1, "knn": 1.0}, {"epoch": 2, "knn": 1.0}]})
    shares = [float(text) for text in re.findall(r">([0-9.]+) %</text>", chart.svg)]
    assert max(shares) == 100


def test_the_parts_of_a_loss_are_shown_where_there_are_several():
    one = [{"epoch": 1, "loss": 2.0, "distillation": 2.0}]
    assert loss_chart(one).legend == ()
    known = ("contrastive", "distillation", "similarity", "regression")
    for parts in itertools.combinations(known, 2):
        two = [{"epoch": 1, "loss": 3.0, **dict.fromkeys(parts, 1.5)}]
        assert [entry.name for entry in loss_chart(two).legend] == ["loss", *parts]


def test_a_curve_looks_the_same_in_chart_and_legend():
    run = [{"epoch": 1, "knn": 0.5}, {"epoch": 2, "knn": 0.6}]
    chart = knn_chart({"not measured": [], "a": run, "b": run})
    assert [(entry.name, entry.color) for entry in chart.legend] == [("a", 1), ("b", 2)]
    for entry in chart.legend:
        assert f"var(--c{entry.color})" in chart.svg
        assert entry.marker in MARKERS.values()
    assert not re.search(r"#[0-9a-f]{6}\b", chart.svg), "colors come from the style sheet"
