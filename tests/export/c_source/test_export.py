"""Whole networks as C source, what it is called, and what is refused."""

import ctypes
import json
import shutil
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.cli import main
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.export import convert_model, deployment_model, export_c
from s2bnn_tf.tflite import TFLiteGraph, with_outputs

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O1")
ROUNDING = 1e-5  # of the largest number of a map


def pictures(graph, count=3):
    shape = graph.tensors[graph.inputs[0]].shape
    return np.random.default_rng(0).uniform(0, 255, (count, *shape)).astype(np.float32)


def run_lce(model, x):
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    found = Interpreter(model).predict(x)
    return [part.ravel() for part in (found if isinstance(found, list) else [found])]


@pytest.mark.parametrize("name", ["student", "classifier"])
def test_a_converted_network(request, compiled, name):
    path = request.getfixturevalue(name)
    network = compiled(path)
    data = path.read_bytes()
    for x in pictures(TFLiteGraph(data)):
        for found, wanted in zip(network.run(x), run_lce(data, x), strict=True):
            scale = np.abs(wanted).max()
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=ROUNDING * scale)


def check_signs(compiled, data, x):
    """Every sign is equal up to the first map with one that is within rounding of its threshold."""
    graph = TFLiteGraph(data)
    shown = [item.inputs[0] for item in graph.operations if item.name == "LceQuantize"]
    revealed = with_outputs(data, list(dict.fromkeys(shown)))
    for found, wanted in zip(compiled(revealed).run(x), run_lce(revealed, x), strict=True):
        other = (found < 0) != (wanted < 0)
        assert not np.any(np.abs(wanted[other]) > ROUNDING * np.abs(wanted).max())
        if other.any():
            return


@pytest.mark.slow
def test_a_network_with_gates(make_encoder, compiled):
    """BNext's means, sigmoids, and products of a map with a gate."""
    deployed = deployment_model(make_encoder("bnext", 32, stem="small", width=1 / 16), 32)
    data = convert_model(deployed, output_name="features")
    network = compiled(data)
    for x in pictures(TFLiteGraph(data)):
        (found,), (wanted,) = network.run(x), run_lce(data, x)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
        check_signs(compiled, data, x)


def test_every_sign_of_a_converted_network(compiled, student):
    data = student.read_bytes()
    for x in pictures(TFLiteGraph(data)):
        check_signs(compiled, data, x)


@pytest.mark.slow
@pytest.mark.only_with("2.15", "Larq Zoo")
def test_every_sign_of_quicknet(compiled):
    import larq_compute_engine
    import larq_zoo
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    network = larq_zoo.sota.QuickNet(input_shape=(96, 96, 3), weights=None)
    data = larq_compute_engine.convert_keras_model(network)
    x = np.random.default_rng(0).normal(size=(1, 96, 96, 3)).astype(np.float32)
    check_signs(compiled, data, x)
    (found,), (wanted,) = compiled(data).run(x), run_lce(data, x)
    np.testing.assert_allclose(found, wanted, atol=ROUNDING)


def test_the_same_bytes_twice(student, tmp_path):
    for folder in ("one", "two"):
        export_c(student, tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_places_of_values_that_live_at_once_do_not_overlap(student):
    from s2bnn_tf.export.c_source.memory import plan_memory
    from s2bnn_tf.export.c_source.network import read_network
    from s2bnn_tf.export.c_source.operations import make_steps
    from s2bnn_tf.export.c_source.steps import group_steps

    network = read_network(student)
    memory = plan_memory(network, group_steps(make_steps(network)[0]))
    found = (*memory.of_value.values(), *memory.of_scratch.values())
    places = list({id(place): place for place in found}.values())
    for i, one in enumerate(places):
        assert 0 <= one.offset <= one.offset + one.size <= memory.size
        for other in places[:i]:
            if one.first <= other.last and other.first <= one.last:
                assert one.offset + one.size <= other.offset or (
                    other.offset + other.size <= one.offset
                )


def test_two_networks_and_the_example_in_one_directory_of_c(student, classifier, cc, tmp_path):
    export_c(student, tmp_path / "eyes", name="eyes")
    export_c(classifier, tmp_path / "mind", name="mind", external_arena=True)
    program = tmp_path / "main.c"
    program.write_text(
        '#include "eyes/eyes.h"\n#include "mind/mind.h"\n'
        "static char memory[MIND_ARENA_BYTES + 64];\n"
        "MIND_CHECK_ARENA(memory);\n"
        "int main(void) {\n"
        "  char *arena = memory + (64 - (unsigned long)memory % 64) % 64;\n"
        "  if (mind_run(arena + 4) == 0 || mind_input(arena + 4) || mind_run(0) == 0) return 1;\n"
        "  return eyes_run() + mind_run(arena) + (mind_output(arena) == 0);\n}\n"
    )
    sources = [
        tmp_path / "eyes/eyes.c",
        tmp_path / "mind/mind.c",
        tmp_path / "eyes/s2bnn_kernels.c",
    ]
    cc(*STRICT, "-I", tmp_path, "-o", tmp_path / "both", program, *sources, "-lm")
    assert subprocess.run([tmp_path / "both"], check=False).returncode == 0


def test_an_arena_that_is_too_small_does_not_compile(student, tmp_path):
    export_c(student, tmp_path / "one", external_arena=True)
    export_c(student, tmp_path / "two")
    (tmp_path / "small.c").write_text(
        '#include "one/model.h"\nstatic char small[64];\nMODEL_CHECK_ARENA(small);\n'
    )
    for arguments, words in (
        (["-I", tmp_path, tmp_path / "small.c"], "arena_is_too_small"),
        (["-DMODEL_ARENA_LIMIT=1024", tmp_path / "two/model.c"], "larger than MODEL_ARENA_LIMIT"),
    ):
        command = ["gcc", "-std=c99", "-fsyntax-only", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert words in done.stderr


def test_runs_in_arenas_of_their_own_do_not_disturb_each_other(student, cc, tmp_path):
    export_c(student, tmp_path / "source", external_arena=True)
    source = tmp_path / "source"
    files = [source / "model.c", source / "s2bnn_kernels.c"]
    cc(*STRICT, "-fPIC", "-shared", "-o", tmp_path / "model.so", *files, "-lm")
    library = ctypes.CDLL(str(tmp_path / "model.so"))
    for getter in (library.model_input, library.model_output):
        getter.restype = ctypes.POINTER(ctypes.c_float)
    x = pictures(TFLiteGraph(student.read_bytes()), 2)
    arenas = [ctypes.create_string_buffer(1 << 20) for _ in x]
    at = [ctypes.c_void_p(-(-ctypes.addressof(arena) // 64) * 64) for arena in arenas]
    for place, picture in zip(at, x, strict=True):
        np.ctypeslib.as_array(library.model_input(place), (picture.size,))[:] = picture.ravel()
    for place in at:
        assert library.model_run(place) == 0
    for place, picture in zip(at, x, strict=True):
        (wanted,) = run_lce(student.read_bytes(), picture)
        found = np.ctypeslib.as_array(library.model_output(place), wanted.shape)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_example_under_sanitizers(classifier, cc, tmp_path):
    export_c(classifier, tmp_path / "source")
    source, data = tmp_path / "source", classifier.read_bytes()
    files = [source / name for name in ("main.c", "model.c", "s2bnn_kernels.c")]
    flags = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-I", source)
    cc(*STRICT, *flags, "-o", tmp_path / "example", *files, "-lm")
    (x,) = pictures(TFLiteGraph(data), 1)
    x.tofile(tmp_path / "picture")
    command = [str(tmp_path / "example"), str(tmp_path / "picture")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = np.array(done.stdout.split(), np.float32)
    np.testing.assert_allclose(found, run_lce(data, x)[0], rtol=1e-4, atol=1e-4)


def test_the_header_compiles_in_cpp(student, tmp_path):
    export_c(student, tmp_path / "source", name="eyes", external_arena=True)
    (tmp_path / "program.cc").write_text('#include "source/eyes.h"\n')
    command = ["g++", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "program.cc"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_builds_the_example(student, tmp_path):
    export_c(student, tmp_path / "source", name="eyes")
    command = ["make", "-s", "CFLAGS=-O1"]
    done = subprocess.run(
        command, cwd=tmp_path / "source", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "source" / "example").exists()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "2net",
        "a-b",
        "int",
        "class",
        "_net",
        "net_",
        "a__b",
        "main",
        "math",
        "s2bnn_x",
        "ä",
        "x" * 41,
    ],
)
def test_names_that_c_or_cpp_refuse(student, tmp_path, name):
    with pytest.raises(ConfigError, match="--name"):
        export_c(student, tmp_path / "source", name=name)
    assert not (tmp_path / "source").exists()


def test_an_output_that_exists_is_left_alone(student, tmp_path):
    (tmp_path / "source").mkdir()
    with pytest.raises(ConfigError, match="exists already"):
        export_c(student, tmp_path / "source")
    assert not list((tmp_path / "source").iterdir())


def test_operations_that_it_does_not_know(graphs, tmp_path):
    graph = graphs.Graph()
    x, y = graph.tensor((1, 4)), graph.tensor((1, 4))
    graph.builtin("COS", [x], y)
    check_refused(graph.build([x], [y]), tmp_path, "the operation COS,")
    graph = graphs.Graph()
    x, y = graph.tensor((1, 4)), graph.tensor((1, 4))
    graph.builtin("ADD", [x, x], y, schema.AddOptionsT())
    check_refused(graph.build([x, y], [y]), tmp_path, "input|makes")
    graph = graphs.Graph()
    x = graph.tensor((1, 4), "int8", scale=1.0)
    y = graph.tensor((1, 4), "int8", scale=1.0)
    graph.builtin("ADD", [x, x], y, schema.AddOptionsT())
    check_refused(graph.build([x], [y]), tmp_path, "int8")
    case = graphs.Bconv(output="int8")
    graph = graphs.Graph()
    x = graph.tensor((1, 5, 6, 64))
    bits = graph.tensor((1, 5, 6, 2), "int32")
    y = case.add_to(graph, graph.custom("LceQuantize", [x], bits))
    floats = graph.tensor((1, 5, 6, 32))
    graph.builtin("DEQUANTIZE", [y], floats)
    check_refused(graph.build([x], [floats]), tmp_path, "LceBconv2d to int8")


def check_refused(model, folder, words):
    (folder / "bad.tflite").write_bytes(model)
    with pytest.raises(ModelError, match=words) as caught:
        export_c(folder / "bad.tflite", folder / "source")
    assert "\n" not in str(caught.value)
    assert not (folder / "source").exists()


def test_several_inputs_and_batches_are_refused(graphs, tmp_path):
    graph = graphs.Graph()
    x, other, y = (graph.tensor((1, 4)) for _ in range(3))
    graph.builtin("ADD", [x, other], y, schema.AddOptionsT())
    check_refused(graph.build([x, other], [y]), tmp_path, "has 2 inputs")
    graph = graphs.Graph()
    x, y = graph.tensor((2, 3, 3, 4)), graph.tensor((2, 3, 3, 4))
    graph.builtin("RELU", [x], y)
    check_refused(graph.build([x], [y]), tmp_path, "2 pictures at once")


def test_the_command(student, tmp_path):
    output = tmp_path / "source"
    done = CliRunner().invoke(main, ["export-c", str(student), str(output), "--json"])
    assert done.exit_code == 0, done.output
    card = json.loads(done.output.splitlines()[-1])
    assert card["outputs"] and card["arena_bytes"] > 0
    assert sum(row["flash_bytes"] for row in card["operations"]) == card["flash_bytes"]
    shutil.rmtree(output)
    done = CliRunner().invoke(main, ["export-c", str(student), str(output), "--name", "for"])
    assert done.exit_code == 1
    assert done.output.count("\n") == 1
