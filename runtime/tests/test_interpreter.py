"""The Python interface: what predict() takes and returns, batches, threads, and errors in one
sentence.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import check_host
import numpy as np
import pytest
from graphs import Bconv, Graph, pack_bits, words_of

from s2bnn_runtime import Interpreter, S2bnnError, find_host


@pytest.fixture(scope="module")
def cases():
    return check_host.load_cases()


def fixed_batch_model(batch: int) -> bytes:
    """The signs of (batch, 3, 40), flattened to a shape that contains the batch."""
    graph = Graph()
    x = graph.tensor((batch, 3, 40))
    bits = graph.custom("LceQuantize", [x], graph.tensor((batch, 3, 2), "int32"))
    signs = graph.custom("LceDequantize", [bits], graph.tensor((batch, 3, 40)))
    shape = graph.constant(np.array([batch, 120], np.int32))
    return graph.build([x], [graph.builtin("RESHAPE", [signs, shape], graph.tensor((batch, 120)))])


def test_golden_results_on_this_host(cases, host):
    assert check_host.check_results(cases, host, short=True) == len(cases)


def test_batches_of_any_order(cases, host):
    """Hosts that apply their delegates again after a resize see shapes of the previous batch:
    the claim must not change.
    """
    check_host.check_batches(cases, host)


def test_several_interpreters_in_several_threads(cases, host):
    check_host.check_threads(cases, host)


def test_several_threads_share_an_interpreter(cases, host):
    """They get their own results, also while the batch changes between them."""
    model, images, (wanted,) = cases["network"]
    interpreter = Interpreter(model, host=host)
    tasks = [(i % len(images), 1 + i % 2) for i in range(80)]
    starts = threading.Barrier(8)

    def predict(task: tuple[int, int]) -> list[np.ndarray]:
        first, count = task
        starts.wait()
        return [interpreter.predict(images[first : first + count]) for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        for (first, count), results in zip(tasks, pool.map(predict, tasks)):
            for result in results:
                np.testing.assert_array_equal(result, wanted[first : first + count])


def test_threads_share_an_interpreter_that_starts_again(host):
    """The model has a fixed batch size, so the first call has to replace the host, only once."""
    interpreter = Interpreter(fixed_batch_model(2), host=host)
    x = np.random.default_rng(0).normal(size=(8, 8, 3, 40)).astype(np.float32)
    starts = threading.Barrier(8)

    def predict(i: int) -> np.ndarray:
        starts.wait()
        assert [len(d["shape"]) for d in interpreter.input_details] == [3]
        return interpreter.predict(x[i])

    with ThreadPoolExecutor(8) as pool:
        for values, result in zip(x, pool.map(predict, range(8))):
            np.testing.assert_array_equal(result, np.where(values < 0, -1, 1).reshape(8, 120))


def two_of_each() -> tuple[bytes, list[np.ndarray]]:
    """A model with two inputs and two outputs, and three samples for it."""
    graph = Graph()
    xs = [graph.tensor((1, 4, channels)) for channels in (33, 65)]
    ys = []
    for x, channels in zip(xs, (33, 65)):
        bits = graph.tensor((1, 4, words_of(channels)), "int32")
        graph.custom("LceQuantize", [x], bits)
        ys.append(graph.custom("LceDequantize", [bits], graph.tensor((1, 4, channels))))
    rng = np.random.default_rng(0)
    return graph.build(xs, ys), [rng.normal(size=(3, 4, c)).astype(np.float32) for c in (33, 65)]


def test_predict_takes_what_lce_takes(host, lce):
    model, values = two_of_each()
    interpreter = Interpreter(model, host=host)
    wanted = lce(model, *values)
    samples = list(zip(*values))
    forms = [
        lambda: values,
        lambda: iter(samples),
        lambda: (list(sample) for sample in samples),
        lambda: map(list, samples),
    ]
    for form in forms:
        result = interpreter.predict(form(), verbose=1)
        assert isinstance(result, list) and len(result) == 2
        for got, want in zip(result, wanted):
            np.testing.assert_array_equal(got, want)
    with pytest.raises(S2bnnError, match="the model has 2 inputs, not 1"):
        interpreter.predict(iter(values[0]))
    with pytest.raises(S2bnnError, match="the iterator has no samples"):
        interpreter.predict(iter([]))


def test_predict_takes_what_lce_takes_of_one_input(cases, host, lce):
    model, images, (wanted,) = cases["network"]
    interpreter = Interpreter(model, host=host)
    np.testing.assert_array_equal(lce(model, images), wanted)
    forms = [
        lambda: images,
        lambda: [images],
        lambda: iter(images),
        lambda: (image for image in images),
        lambda: ([image] for image in images),
    ]
    for form in forms:
        result = interpreter.predict(form())
        assert isinstance(result, np.ndarray)
        np.testing.assert_array_equal(result, wanted)
    with pytest.raises(S2bnnError, match="the model has 1 inputs, not 2"):
        interpreter.predict([images, images])


def test_an_iterator_may_use_the_interpreter(cases, host):
    model, images, (wanted,) = cases["network"]
    interpreter = Interpreter(model, host=host)

    def same_images():
        for image, features in zip(images, wanted):
            np.testing.assert_array_equal(interpreter.predict(image)[0], features)
            yield image

    np.testing.assert_array_equal(interpreter.predict(same_images()), wanted)


def test_model_of_one_batch_size(host):
    x = np.random.default_rng(0).normal(size=(6, 3, 40)).astype(np.float32)
    interpreter = Interpreter(fixed_batch_model(2), host=host)
    for batch in (2, 6, 4, 2):
        wanted = np.where(x[:batch] < 0, -1, 1).reshape(batch, 120)
        np.testing.assert_array_equal(interpreter.predict(x[:batch]), wanted)
    with pytest.raises(S2bnnError, match="batches of 2 only"):
        interpreter.predict(x[:3])
    np.testing.assert_array_equal(
        interpreter.predict(x[:2]), np.where(x[:2] < 0, -1, 1).reshape(2, 120)
    )


def test_batch_that_fits_in_no_way_is_the_hosts_error(host):
    interpreter = Interpreter(fixed_batch_model(2), host=host)
    x = np.ones((3, 3, 40), np.float32)
    with pytest.raises(S2bnnError, match="[Rr]eshape"):
        interpreter.predict(x)
    np.testing.assert_array_equal(interpreter.predict(x[:2]), np.ones((2, 120)))


def test_one_batch_size_beside_another_delegate(host):
    """After a failed resize, a host whose own delegate merges nodes is left without it, and with
    memory that was planned for fewer nodes.
    """
    graph = Graph()
    x = y = graph.tensor((1, 3, 40))
    for _ in range(6):
        bits = graph.custom("LceQuantize", [y], graph.tensor((1, 3, 2), "int32"))
        y = graph.custom("LceDequantize", [bits], graph.tensor((1, 3, 40)))
        for _ in range(6):
            y = graph.builtin("LOGISTIC", [y], graph.tensor((1, 3, 40)))
    shape = graph.constant(np.array([1, 120], np.int32))
    model = graph.build([x], [graph.builtin("RESHAPE", [y, shape], graph.tensor((1, 120)))])
    images = np.random.default_rng(0).normal(size=(4, 3, 40)).astype(np.float32)
    one_by_one = [Interpreter(model, host=host).predict(image) for image in images]
    np.testing.assert_array_equal(
        Interpreter(model, host=host).predict(images), np.concatenate(one_by_one)
    )


def test_resized_height_and_width(host):
    """Through the host's own interface, like a C++ program would do it."""
    small, large = Bconv(), Bconv(height=9, width=4)
    interpreter = Interpreter(small.model(), host=host)
    native = interpreter._interpreter
    index = native.get_input_details()[0]["index"]
    for case in (large, small, large):
        native.resize_tensor_input(index, (1, case.height, case.width, 2))
        native.allocate_tensors()
        native.set_tensor(index, pack_bits(case.input()))
        native.invoke()
        wanted = Interpreter(case.model(), host=host).predict(pack_bits(case.input()))
        np.testing.assert_array_equal(
            native.get_tensor(native.get_output_details()[0]["index"]), wanted
        )


def test_dimensions_that_the_converter_left_open(host):
    graph = Graph()
    x = graph.tensor((1, 1, 40))
    graph.tensors[x].shapeSignature = [1, -1, 40]
    interpreter = Interpreter(
        graph.build([x], [graph.custom("LceQuantize", [x], graph.tensor((1, 1, 2), "int32"))]),
        host=host,
    )
    values = np.random.default_rng(0).normal(size=(2, 5, 40)).astype(np.float32)
    np.testing.assert_array_equal(interpreter.predict(values), pack_bits(values))
    with pytest.raises(S2bnnError, match=r"shape \(1, 1, 40\), not \(2, 5, 39\)"):
        interpreter.predict(values[:, :, 1:])


def test_several_inputs_and_outputs(host):
    graph = Graph()
    xs = [graph.tensor((1, 4, channels)) for channels in (33, 65)]
    ys = [
        graph.custom("LceQuantize", [x], graph.tensor((1, 4, words_of(channels)), "int32"))
        for x, channels in zip(xs, (33, 65))
    ]
    interpreter = Interpreter(graph.build(xs, ys), host=host)
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(3, 4, channels)).astype(np.float32) for channels in (33, 65)]
    result = interpreter.predict(*values)
    assert isinstance(result, list)
    for got, value in zip(result, values):
        np.testing.assert_array_equal(got, pack_bits(value))
    with pytest.raises(S2bnnError, match="the model has 2 inputs, not 1"):
        interpreter.predict(values[0])


def test_path_bytes_and_one_image_without_batch(host, tmp_path):
    case = Bconv()
    path = tmp_path / "model.tflite"
    path.write_bytes(case.model())
    x = pack_bits(case.input())
    wanted = Interpreter(case.model(), host=host).predict(x)
    for model in (path, str(path), bytearray(case.model())):
        np.testing.assert_array_equal(Interpreter(model, host=host).predict(x[0]), wanted)


def test_doubles_become_floats(host):
    x = np.random.default_rng(0).normal(size=(2, 3, 40))
    np.testing.assert_array_equal(
        Interpreter(fixed_batch_model(2), host=host).predict(x), np.sign(x).reshape(2, 120)
    )


def test_a_delegate_serves_several_interpreters(host):
    """One after the other and at the same time, each with its own claim."""
    from s2bnn_runtime import load_delegate

    delegate = load_delegate(host=host)
    natives = []
    for case in (Bconv(), Bconv(channels_in=96, height=7), Bconv(output="int8")):
        natives.append(
            (case, host.interpreter(model_content=case.model(), experimental_delegates=[delegate]))
        )
    for case, native in natives:
        native.allocate_tensors()
        native.set_tensor(native.get_input_details()[0]["index"], pack_bits(case.input()))
        native.invoke()
        wanted = Interpreter(case.model(), host=host).predict(pack_bits(case.input()))
        np.testing.assert_array_equal(
            native.get_tensor(native.get_output_details()[0]["index"]), wanted
        )
    del native, natives


def test_each_error_says_what_is_wrong(host, tmp_path):
    with pytest.raises(S2bnnError, match=r"^the number of threads is 1 to 1024, not 0$"):
        Interpreter(Bconv().model(), 0, host=host)
    missing = tmp_path / "none.tflite"
    with pytest.raises(S2bnnError, match=f"^{missing} does not exist; check its path$"):
        Interpreter(missing, host=host)
    with pytest.raises(S2bnnError, match=f"^{tmp_path} is a folder, not a file$"):
        Interpreter(tmp_path, host=host)


@pytest.mark.parametrize("content", [b"", b"garbage", bytes(1000)])
def test_content_that_is_not_a_model(host, content):
    with pytest.raises(S2bnnError, match=r"^it is not a TFLite model; use the \.tflite that"):
        Interpreter(content, host=host)


def test_a_model_that_the_host_cannot_open(host):
    """TensorFlow 2.15 itself does not survive a file that was cut short, so this one is whole."""
    damaged = Bconv().model().replace(b"LceBconv2d", b"LceBconv9d")
    with pytest.raises(S2bnnError, match="LceBconv9d"):
        Interpreter(damaged, host=host)


def test_a_delegate_that_cannot_be_loaded(host, tmp_path, monkeypatch):
    library = tmp_path / "library.so"
    monkeypatch.setenv("S2BNN_LIBRARY", str(library))
    with pytest.raises(S2bnnError, match=f"^{library} does not exist; install s2bnn-runtime"):
        Interpreter(Bconv().model(), host=host)
    library.write_text("not a library")
    with pytest.raises(S2bnnError, match=f"^{host.name} cannot load the delegate: .*library.so"):
        Interpreter(Bconv().model(), host=host)


def test_unknown_host():
    with pytest.raises(S2bnnError, match="^unknown host 'abacus': choose one of ai-edge-litert, "):
        find_host("abacus")


def test_making_and_dropping_interpreters_in_threads(host):
    model, x = Bconv().model(), pack_bits(Bconv().input())
    wanted = Interpreter(model, host=host).predict(x)

    def churn(seed: int) -> None:
        for _ in range(10):
            np.testing.assert_array_equal(
                Interpreter(model, 1 + seed % 3, host=host, profile="churn").predict(x), wanted
            )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(churn, range(4)))
