"""The page needs no network, trusts no name, and leaves out what it does not have."""

from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from s2bnn_tf.evaluation import Gallery, Mistakes
from s2bnn_tf.report import ReportColumn, read_column, write_report, write_run_report
from s2bnn_tf.report.charts import MARKERS, knn_chart, loss_chart, read_metrics
from s2bnn_tf.report.table import make_table, summarize

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
        class_names=np.array(names),
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
    for words in ("70.0 ± 1.0 %", "97.0 %", "3.1 %", "0.25 nats", "1.20 nats", "1.25 ms"):
        assert words in text
    assert "taken for $x^{$ , 99 %" in text
    classes = [value for name, value in page.attributes if name == "class"]
    assert classes.count("tile wrong") == 3
    assert classes.count("zero") == 1
    assert page.tags.count("img") == 2 * 9 + 3
    assert page.tags.count("svg") == 4 + 3


def test_a_confusion_of_many_classes_is_left_out(tmp_path):
    many = Mistakes(**{**vars(mistakes()), "confusion": np.eye(21, dtype=np.int64)})
    many = Mistakes(**{**vars(many), "class_names": np.array([f"c{i}" for i in range(21)])})
    write_report(tmp_path / "report.html", title="many", mistakes={"run": many})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "table" not in page.tags
    assert page.tags.count("img") == 3


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
        ReportColumn(name, role, top1 and {"top1": top1}, size_bytes=size)
        for name, role, top1, size in columns
    ]
    headline = summarize(made)
    assert (headline and headline.replace("\N{NO-BREAK SPACE}", " ")) == expected


def test_the_table_has_no_empty_rows_and_bars_in_proportion():
    rows = make_table([ReportColumn("a", size_bytes=1000), ReportColumn("b", size_bytes=250)])
    assert list(rows) == ["File size"]
    assert [cell.share for cell in rows["File size"]] == [1.0, 0.25]
    alone = make_table([ReportColumn("a", knn=KNN, size_bytes=1000)])
    assert alone["File size"][0].share is None, "there is nothing to compare it with"
    assert alone["kNN accuracy"][0].share == 0.9
    accuracy = make_table([ReportColumn("a", knn=KNN), ReportColumn("b")])["kNN accuracy"]
    assert [cell.share for cell in accuracy] == [0.9, None]


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
