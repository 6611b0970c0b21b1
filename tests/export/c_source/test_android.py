"""A network in Java: the class of the example, and its library for Android as far as Zig goes."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from s2bnn_tf.export import export_c
from s2bnn_tf.tflite import TFLiteEncoder

EXAMPLE = Path(__file__).parents[3] / "examples/android"
MAIN = """
import s2bnn.Model;

final class Main {
  public static void main(String[] arguments) {
    int[] pixels = new int[arguments.length];
    for (int i = 0; i < pixels.length; ++i) pixels[i] = Integer.parseUnsignedInt(arguments[i], 16);
    for (float number : new Model().run(pixels)) System.out.println(number);
    try {
      new Model().run(new int[1]);
    } catch (IllegalArgumentException error) {
      System.out.println("1 pixels refused");
    }
  }
}
"""


@pytest.fixture
def source(student, tmp_path):
    """The network, and where the headers of the JDK are."""
    export_c(student, tmp_path / "c", external_arena=True, math=False)
    return tmp_path / "c"


def run(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def jdk():
    javac = shutil.which("javac")
    include = javac and Path(javac).resolve().parents[1] / "include"
    return include if include and (include / "jni.h").exists() else None


needs_jdk = pytest.mark.skipif(jdk() is None, reason="needs a JDK, such as default-jdk-headless")


@needs_jdk
def test_the_class_gives_the_features(source, student, cc, tmp_path):
    files = [EXAMPLE / "s2bnn_jni.c", source / "model.c", source / "s2bnn_kernels.c"]
    headers = ("-I", source, "-I", jdk(), "-I", jdk() / "linux")
    flags = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared")
    cc(*flags, *headers, "-o", tmp_path / "libs2bnn_model.so", *files)
    (tmp_path / "Main.java").write_text(MAIN)
    run("javac", "-d", tmp_path, tmp_path / "Main.java", EXAMPLE / "s2bnn/Model.java")
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    opaque = [f"ff{r:02x}{g:02x}{b:02x}" for r, g, b in picture.reshape(-1, 3)]
    said = run("java", f"-Djava.library.path={tmp_path}", "-cp", tmp_path, "Main", *opaque)
    *numbers, refused = said.splitlines()
    (wanted,) = TFLiteEncoder(student, "lce").features(picture[np.newaxis])
    np.testing.assert_allclose(np.array(numbers, np.float32), wanted, rtol=1e-4, atol=1e-4)
    assert refused == "1 pixels refused"


@needs_jdk
@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="needs ziglang")
def test_the_library_compiles_for_android(source, tmp_path):
    """Zig has no headers of Android's C library, of which the source needs memcpy alone."""
    headers = tmp_path / "headers"
    headers.mkdir()
    (headers / "string.h").write_text(
        "#include <stddef.h>\nvoid *memcpy(void *restrict, const void *restrict, size_t);\n"
    )
    (headers / "stdio.h").write_text("")  # jni.h asks for it and uses nothing of it
    library = tmp_path / "libs2bnn_model.so"
    files = [EXAMPLE / "s2bnn_jni.c", source / "model.c", source / "s2bnn_kernels.c"]
    flags = ("-target", "aarch64-linux-android", "-std=c99", "-O3", "-fPIC", "-shared")
    includes = ("-I", headers, "-I", source, "-I", jdk(), "-I", jdk() / "linux")
    zig = (sys.executable, "-m", "ziglang", "cc", *flags, "-nostdlib", *includes)
    run(*zig, "-o", library, *files)
    content = library.read_bytes()
    assert content[:5] == b"\x7fELF\x02"
    assert content[18] == 183  # AArch64
    for name in (b"Java_s2bnn_Model_run", b"Java_s2bnn_Model_size"):
        assert name in content
