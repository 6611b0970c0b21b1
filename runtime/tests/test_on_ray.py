"""The example that embeds a folder with Ray Data; `make test-extras` runs it without TensorFlow."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests/compat/data/0.1.0/student.tflite"
PHOTOS = ROOT / "tests/compat/data/0.1.0/photos"

if importlib.util.find_spec("ray") is not None:

    @pytest.mark.slow
    def test_ray_embeds_a_folder_as_one_process_does(tmp_path):
        from pyarrow import parquet

        from s2bnn_runtime.embedder import Embedder
        from s2bnn_runtime.images import picture_files

        assert importlib.util.find_spec("tensorflow") is None, "the wheel alone must be enough"
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no picture")
        output = tmp_path / "embeddings"
        script = ROOT / "examples/embed_on_ray.py"
        command = [sys.executable, script, MODEL, PHOTOS, broken, output]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        rows = parquet.read_table(output).to_pylist()
        paths = picture_files([PHOTOS])
        assert [row["path"] for row in rows] == [*map(str, paths), str(broken)]
        expected = Embedder(MODEL)(paths)
        np.testing.assert_allclose([row["features"] for row in rows[:-1]], expected, atol=1e-6)
        assert "broken.png cannot be read" in rows[-1]["error"]
        assert {row["error"] for row in rows[:-1]} == {""}
