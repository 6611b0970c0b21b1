"""The first line of a fit's report says what a sceptic would ask for."""

from __future__ import annotations

import pytest

from s2bnn_tf.pipeline import Look, Options, Plan
from s2bnn_tf.pipeline.deliver import headline, next_commands

PIXELS = {"pixels_8x8": 0.55, "pixels_32x32": 0.5}
KNN = {"student": 0.7, "teacher": 0.69, "untrained": 0.3, "tflite": 0.7, **PIXELS}
LINEAR = {**KNN, "student": 0.9, "teacher": 0.88, "pixels_8x8": 0.6}
NOTHING = dict.fromkeys(KNN)
KEPT = {"top1": 0.5, "top5": 0.625}
NUMBERS = (
    "70.0 % of the held-out pictures are recognized by their nearest neighbors; by raw pixels it "
    "is 55.0 %, by the teacher 69.0 %, and untrained 30.0 %."
)


@pytest.mark.parametrize(
    ("knn", "linear", "kept", "expected"),
    [
        (KNN, NOTHING, KEPT, NUMBERS),
        (
            KNN,
            LINEAR,
            KEPT,
            f"{NUMBERS} By a linear probe, it is 90.0 % (raw pixels 60.0 %, the teacher 88.0 %).",
        ),
        (
            {**KNN, "starter": 0.85},
            {**LINEAR, "starter": 0.7},
            KEPT,
            NUMBERS.replace("and untrained", "by the starter 85.0 %, and untrained")
            + " By a linear probe, it is 90.0 % (raw pixels 60.0 %, the teacher 88.0 %, "
            "the starter 70.0 %).",
        ),
        (
            {**KNN, "pixels_8x8": 0.7},
            NOTHING,
            KEPT,
            "The student does not beat comparing raw pixels, so do not use it: give it more time "
            "with --minutes, more pictures, or a better teacher with --teacher. "
            + NUMBERS.replace("55.0", "70.0"),
        ),
        (
            {**KNN, "untrained": 0.71},
            NOTHING,
            KEPT,
            "The student is no better than before training, so do not use it: give it more time "
            "with --minutes, more pictures, or a better teacher with --teacher. "
            + NUMBERS.replace("30.0", "71.0"),
        ),
        (
            NOTHING,
            NOTHING,
            KEPT,
            "The student keeps 50.0 % of its teacher's nearest neighbors, and 62.5 % of the "
            "nearest five; without labels, nobody can say how often they are right.",
        ),
        (
            NOTHING,
            NOTHING,
            None,
            "Nothing was held out, so nothing was measured; without --hold-out 0, a fifth of the "
            "pictures is.",
        ),
    ],
)
def test_the_headline(knn, linear, kept, expected):
    assert headline({"knn": knn, "linear": linear, "neighbors_kept": kept}) == expected


def test_the_next_commands_can_be_pasted(tmp_path):
    """Into a shell, with a space in the path; and what is not there is made first."""
    plan = Plan(Options(), Look("photos", 80, 20, (), 64), {}, {}, 0)
    output = tmp_path / "my pets"
    output.mkdir()
    (first, _), *others = next_commands(plan, output)
    assert first == f"s2bnn bundle '{output}/student' '{output}/bundle.zip' --target linux-aarch64"
    assert len(others) == 2 and all(
        f"'{output}/student.tflite'" in command for command, _ in others
    )
    (output / "bundle.zip").touch()
    (first, _), *_ = next_commands(plan, output)
    assert first.startswith(f"s2bnn deploy '{output}/bundle.zip' ssh://")
