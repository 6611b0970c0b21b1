"""A plan is read as it was written, also one of an earlier version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from s2bnn_tf.cli import main
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.pipeline import Options, look_at
from s2bnn_tf.pipeline.plan import make_plan
from s2bnn_tf.pipeline.plan_file import read_plan, save_plan

# Written by a commit before options.given and look.color.
EARLIER = Path(__file__).with_name("plan_of_an_earlier_version.json")


def test_a_plan_is_read_as_it_was_written(crops, tmp_path):
    look = look_at(crops, tmp_path, share=0.2)
    options = Options(overrides=("steps=9",), size="small", given=("teacher mean_12345678",))
    plan = make_plan(look, options, 0.0, timed=False)
    save_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    assert read_plan(tmp_path / "nowhere.json") is None


def test_a_plan_of_an_earlier_version_is_what_that_version_did(crops, tmp_path):
    """The command that resumes it goes on as that version would have."""
    plan = read_plan(EARLIER)
    assert plan.options == Options(size="small", overrides=("steps=30", "data.batch_size=8"))
    assert plan.look.color and plan.look.left_out == 0
    for stage in ("teacher", "step1", "student"):
        config = plan.config(stage)
        assert (config.data.image_size, config.data.batch_size, config.steps) == (32, 8, 30)
    output = tmp_path / "out"
    look_at(crops, output, share=0.2)
    text = EARLIER.read_text().replace("/photos/out", str(output))
    (output / "plan.json").write_text(text)
    command = ["fit", str(crops), "--output-dir", str(output), "--size", "small", "--dry-run"]
    options = ("--set", "steps=30", "--set", "data.batch_size=8")
    done = CliRunner().invoke(main, [*command, *options, "--json"])
    assert done.exit_code == 0, done.output
    assert (
        json.loads(done.stdout.splitlines()[-1])["plan"] == read_plan(output / "plan.json").lines()
    )
    assert (output / "images.tsv").exists(), "the list belongs to the fit, not to the dry run"


def changed(tmp_path, change) -> Path:
    content = json.loads(EARLIER.read_text())
    change(content)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["look"].pop("left_out"), "of an earlier version: it lacks look.left_out"),
        (lambda c: c["options"].pop("share"), "of an earlier version: it lacks options.share"),
        (lambda c: c["look"].update(mood="good"), "of a later version: it has look.mood; finish"),
        (lambda c: c.pop("recipes"), r"is damaged \(.*recipes"),
        (lambda c: c.pop("look"), r"is damaged \(.*look"),
        (lambda c: c["options"].update(share="much"), r"is damaged \(options"),
        (lambda c: c["look"].update(color=1), r"is damaged \(look.color"),
        (lambda c: c["look"].update(class_names="cats"), r"is damaged \(look"),
    ],
)
def test_what_cannot_be_resumed_says_why(change, message, tmp_path):
    path = changed(tmp_path, change)
    with pytest.raises(CheckpointError, match=message) as error:
        read_plan(path)
    assert str(path) in str(error.value) and "choose another --output-dir." in str(error.value)
