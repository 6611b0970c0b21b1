"""Everything that an export can hold, under cppcheck and its MISRA rules, and sanitizers."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from s2bnn_tf.export import export_c
from s2bnn_tf.tflite import TFLiteEncoder

DOCS = Path(__file__).parents[3] / "docs/c.md"
CHECKS = "--enable=warning,style,performance,portability"
MAIN = """
#include <stdio.h>
#include "model.h"
#include "model_classes.h"
#include "model_index.h"
#include "model_normal.h"

static unsigned char frame[MODEL_FRAME_BYTES], table[MODEL_TABLE_BYTES];

int main(void) {
  float score;
  int32_t numbers[3], differing[3];
  for (int i = 0; i < MODEL_FRAME_BYTES; ++i) frame[i] = (unsigned char)(i * 37 % 251);
  if (model_input_frame(frame) != 0 || model_run() != 0) return 1;
  const float *output = model_output();
  if (model_enroll("new", output) != 2 || model_classify(output, &score) != 2) return 2;
  model_save_classes(table);
  if (model_forget(2) != 0 || model_confirm(0, output) != 0) return 3;
  if (model_load_classes(table) != 0 || model_nearest(output, NULL) != 2) return 4;
  if (model_search(output, 3, numbers, differing) != 3) return 5;
  printf("%s %s %d\\n", model_class_name(2), model_picture_name(1), model_unusual(output, NULL));
  return 0;
}
"""


@pytest.fixture(scope="module")
def exported(student, tmp_path_factory):
    """Classes, what is normal, an index, and frames of a camera."""
    runtime = pytest.importorskip("s2bnn_runtime")
    from s2bnn_runtime.index import PictureIndex
    from s2bnn_runtime.normal import learn
    from s2bnn_runtime.regions import Regions

    folder, space = tmp_path_factory.mktemp("clean"), TFLiteEncoder(student).space
    vectors = np.random.default_rng(0).normal(size=(12, 1, 32)).astype(np.float32)
    normal, _ = learn(list(vectors), "gaussian", regions=Regions(), space=space, false_alarms=0.1)
    normal.save(folder / "normal.npz")
    classes = runtime.PrototypeClassifier()
    classes.enter(space)
    classes.enroll("a", vectors[:6, 0])
    classes.enroll("b", vectors[6:, 0])
    classes.save(folder / "classes.npz")
    index = PictureIndex(space)
    index.replace(set(), [f"/{n}.jpg" for n in range(12)], [(0, 0)] * 12, vectors[:, 0])
    index.save(folder / "index.npz")
    export_c(
        student,
        folder / "c",
        prototypes=folder / "classes.npz",
        capacity=2,
        normal=folder / "normal.npz",
        index=folder / "index.npz",
        layout="rgb888",
        frame="40x30",
    )
    return folder / "c"


def test_all_parts_under_sanitizers(exported, cc, tmp_path):
    (tmp_path / "program.c").write_text(MAIN)
    files = [path for path in sorted(exported.glob("*.c")) if path.name != "main.c"]
    flags = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-g", "-O1")
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover")
    output = tmp_path / "program"
    cc(*flags, *sanitizers, "-I", exported, "-o", output, tmp_path / "program.c", *files, "-lm")
    done = subprocess.run([output], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"new 1\.jpg [01]\n", done.stdout)


@pytest.mark.skipif(shutil.which("cppcheck") is None, reason="needs cppcheck")
def test_cppcheck_finds_nothing_but_the_deviations_that_are_listed(exported):
    command = ["cppcheck", CHECKS, "--addon=misra", "--std=c99", "-q", "-DS2BNN_PORTABLE", "."]
    done = subprocess.run(command, cwd=exported, capture_output=True, text=True, check=False)
    said = done.stderr + done.stdout
    found = set(re.findall(r"\[misra-c2012-([\d.]+)\]", said))
    others = [line for line in said.splitlines() if re.search(r": \w+: (?!misra violation)", line)]
    assert not others
    assert found
    listed = set(re.findall(r"^\| (\d+\.\d+) ", DOCS.read_text(), re.MULTILINE))
    assert found <= listed, found - listed
