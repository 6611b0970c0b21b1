"""Frames of a camera: the picture of the host to the byte, and no whole picture in RAM."""

import ctypes
import hashlib
import json

import numpy as np
import pytest
from click.testing import CliRunner
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.cli import main
from s2bnn_tf.data.pictures import resize, see
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.export import export_c
from s2bnn_tf.tflite import TFLiteEncoder

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O1")
FRAMES = {"rgb888": (60, 80), "rgb565": (37, 50), "gray8": (45, 33)}


def rgb_of(layout, frame):
    """The picture that a frame shows, RGB."""
    if layout == "rgb888":
        return frame
    if layout == "gray8":
        return np.repeat(frame[..., np.newaxis], 3, -1)
    red, green, blue = frame >> 11, frame >> 5 & 63, frame & 31
    parts = (red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2)
    return np.stack(parts, -1).astype(np.uint8)


def frame_of(layout, height, width, seed=0):
    """Smooth colors and noise."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(height)[:, np.newaxis] / 7 + np.arange(width) / 5)
    pixels = waves[..., np.newaxis] * [90, 60, -70] + rng.normal(128, 25, (height, width, 3))
    rgb = np.clip(pixels, 0, 255).astype(np.uint8)
    if layout == "gray8":
        return np.ascontiguousarray(rgb[..., 0])
    if layout == "rgb888":
        return rgb
    red, green, blue = np.moveaxis(rgb.astype(np.uint16), -1, 0)
    return (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3


@pytest.fixture
def model_of(tmp_path):
    """Writes a model with a card that names the crop."""

    def write(data, kept=0.875):
        path = tmp_path / "given.tflite"
        path.write_bytes(data)
        card = {"center_crop": kept, "sha256": hashlib.sha256(data).hexdigest()}
        path.with_suffix(".json").write_text(json.dumps(card))
        return path

    return write


@pytest.fixture
def run_frame(cc, kernels, tmp_path):
    """Exports for a camera, compiles and runs; the outputs and the card."""

    def run(model, layout, frame, **options):
        size = f"{frame.shape[1]}x{frame.shape[0]}"
        card = export_c(model, tmp_path / layout, layout=layout, frame=size, **options)
        files = [tmp_path / layout / name for name in ("model.c", "s2bnn_frame.c")]
        library = tmp_path / layout / "model.so"
        cc(*FLAGS, "-fPIC", "-shared", "-o", library, *files, kernels(("-O1",)), "-lm")
        c = ctypes.CDLL(str(library))
        arena = []
        if options.get("external_arena"):
            memory = ctypes.create_string_buffer(card["arena_bytes"] + 64)
            arena = [ctypes.c_void_p(-(-ctypes.addressof(memory) // 64) * 64)]
            assert c.model_input_frame(ctypes.c_void_p(arena[0].value + 4), None) == 1
        assert c.model_input_frame(*arena, frame.ctypes.data_as(ctypes.c_void_p)) == 0
        frame.fill(0)  # it is free again
        assert c.model_run(*arena) == 0
        c.model_output.restype = ctypes.POINTER(ctypes.c_float)
        shape = card["outputs"][0]
        return np.ctypeslib.as_array(c.model_output(*arena), shape).copy(), card

    return run


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("layout", FRAMES)
def test_the_picture_is_that_of_the_host_to_the_byte(graphs, model_of, run_frame, layout, channels):
    graph, shape = graphs.Graph(), (1, 24, 20, channels)
    x, y = graph.tensor(shape), graph.tensor(shape)
    graph.builtin("ADD", [x, graph.constant(np.zeros(1, np.float32))], y, schema.AddOptionsT())
    frame = frame_of(layout, *FRAMES[layout])
    wanted = see(rgb_of(layout, frame), shape[1:], 0.8)
    found, _ = run_frame(model_of(graph.build([x], [y]), 0.8), layout, frame)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("size", "kept"), [((24, 20), 1.0), ((20, 24), 0.875), ((12, 40), 1.0), ((3, 100), 0.5)]
)
def test_frames_that_are_small_or_wide(graphs, model_of, run_frame, size, kept):
    graph, shape = graphs.Graph(), (1, 24, 20, 3)
    x, y = graph.tensor(shape), graph.tensor(shape)
    graph.builtin("ADD", [x, graph.constant(np.zeros(1, np.float32))], y, schema.AddOptionsT())
    frame = frame_of("rgb888", *size)
    wanted = see(frame, shape[1:], kept)
    found, _ = run_frame(model_of(graph.build([x], [y]), kept), "rgb888", frame)
    np.testing.assert_array_equal(found, wanted)


def stem(graphs, kind, size, stride, padding, dilation=1, flips=()):
    """Normalization, a convolution and a ReLU."""
    graph, rng = graphs.Graph(), np.random.default_rng(1)
    x, y = graph.tensor((1, 17, 20, 3)), graph.tensor((1, 17, 20, 3))
    normal = rng.normal(size=3).astype(np.float32) / 100
    graph.builtin("MUL", [x, graph.constant(normal)], y, schema.MulOptionsT())
    if flips:
        turned = graph.tensor((1, 17, 20, 3))
        axes = graph.constant(np.array(flips, np.int32))
        graph.builtin("REVERSE_V2", [y, axes], turned, schema.ReverseV2OptionsT())
        y = turned
    reach = (size - 1) * dilation if padding == "VALID" else 0
    rows, columns = (-(-(side - reach) // stride) for side in (17, 20))
    depthwise = kind == "DEPTHWISE_CONV_2D"
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    options.padding = {"SAME": 0, "VALID": 1}[padding]
    options.strideH = options.strideW = stride
    options.dilationHFactor = options.dilationWFactor = dilation
    options.depthMultiplier = 1
    filters = (1, size, size, 3) if depthwise else (5, size, size, 3)
    made = graph.tensor((1, rows, columns, filters[0] if not depthwise else 3))
    weights = graph.constant(rng.normal(size=filters).astype(np.float32))
    bias = graph.constant(rng.normal(size=made_depth(filters, depthwise)).astype(np.float32))
    graph.builtin(kind, [y, weights, bias], made, options)
    out = graph.tensor((1, rows, columns, made_depth(filters, depthwise)))
    graph.builtin("RELU", [made], out)
    return graph.build([x], [out])


def made_depth(filters, depthwise):
    return 3 if depthwise else filters[0]


STEMS = {
    "plain": ("CONV_2D", 3, 1, "SAME"),
    "stride": ("CONV_2D", 3, 2, "SAME"),
    "valid": ("CONV_2D", 5, 2, "VALID"),
    "gaps": ("CONV_2D", 2, 3, "VALID"),
    "dilated": ("CONV_2D", 3, 1, "SAME", 2),
    "depthwise": ("DEPTHWISE_CONV_2D", 3, 2, "SAME"),
    "one pixel": ("CONV_2D", 1, 1, "SAME"),
    "reversed": ("CONV_2D", 3, 2, "SAME", 1, (1, 2)),
    "mirrored": ("CONV_2D", 3, 1, "SAME", 1, (2,)),
}


@pytest.mark.parametrize("arguments", STEMS.values(), ids=STEMS)
def test_the_first_convolution_reads_rows(graphs, model_of, compiled, run_frame, arguments):
    model = model_of(stem(graphs, *arguments))
    whole = compiled(model)
    frame = frame_of("rgb565", 60, 90)
    picture = see(rgb_of("rgb565", frame), (17, 20, 3), 0.875)
    (wanted,) = whole.run(picture.astype(np.float32))
    found, card = run_frame(model, "rgb565", frame)
    np.testing.assert_array_equal(found.ravel(), wanted)
    output = 4 * found.size
    assert card["arena_bytes"] < output + 4 * 20 * 3 * (arguments[1] * 2 + 2 + arguments[1] ** 2)
    assert card["arena_bytes"] < whole.card["arena_bytes"]


@pytest.mark.parametrize("external", [False, True])
def test_features_of_a_converted_network(student, model_of, run_frame, external):
    model = model_of(student.read_bytes(), 1.0)
    frame = frame_of("rgb888", 48, 64, seed=3)
    picture = see(frame, (32, 32, 3), 1.0)
    (wanted,) = TFLiteEncoder(model, "lce").features(picture[np.newaxis])
    found, card = run_frame(model, "rgb888", frame, external_arena=external)
    found = found.ravel()
    assert found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted) > 0.99999
    assert card["arena_bytes"] < export_c(model, model.parent / "floats")["arena_bytes"]


def test_a_region_of_what_is_normal(student, model_of, run_frame, tmp_path):
    from s2bnn_runtime.normal import learn
    from s2bnn_runtime.regions import Regions

    model = model_of(student.read_bytes(), 1.0)
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(1, 32)).astype(np.float32) for _ in range(9)]
    space = TFLiteEncoder(model).space
    frame = frame_of("rgb888", 48, 64)
    for roi, tiles in (((8, 4, 40, 30), 1), ((30, 4, 40, 30), 1), (None, 2)):
        normal, _ = learn(
            samples, "gaussian", regions=Regions(roi, tiles), space=space, false_alarms=0.1
        )
        normal.save(tmp_path / "n.npz")
        if roi == (8, 4, 40, 30):
            picture = resize(frame[4:34, 8:48], (32, 32))
            (wanted,) = TFLiteEncoder(model, "lce").features(picture[np.newaxis])
            found, _ = run_frame(model, "rgb888", frame, normal=tmp_path / "n.npz")
            np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-4, atol=1e-5)
            continue
        with pytest.raises(ConfigError, match="--tiles" if roi is None else "beyond a frame"):
            export_c(
                *(model, tmp_path / "c"),
                layout="rgb888",
                frame="64x48",
                normal=tmp_path / "n.npz",
            )


def test_the_command_and_its_example(student, tmp_path, cc):
    import subprocess

    output = tmp_path / "c"
    done = CliRunner().invoke(
        main, ["export-c", str(student), str(output), "--input", "gray8", "--frame", "40x30"]
    )
    assert done.exit_code == 0, done.output
    names = ("main.c", "model.c", "s2bnn_frame.c", "s2bnn_kernels.c")
    flags = (*FLAGS, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")
    cc(*flags, "-o", output / "run", *(output / name for name in names), "-lm")
    frame_of("gray8", 30, 40).tofile(tmp_path / "frame")
    ran = subprocess.run(
        [output / "run", tmp_path / "frame"], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.split()) == 32


@pytest.mark.parametrize(
    ("layout", "frame"),
    [
        ("rgb888", None),
        ("float", "320x240"),
        ("gray8", "320"),
        ("gray8", "0x5"),
        ("gray8", "9x99999"),
    ],
)
def test_frames_without_a_size(student, tmp_path, layout, frame):
    with pytest.raises(ConfigError, match="--frame"):
        export_c(student, tmp_path / "c", layout=layout, frame=frame)
    assert not (tmp_path / "c").exists()
