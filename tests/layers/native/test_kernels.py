"""The kernels for training, against TensorFlow's own and against sums of integers."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.layers import BinaryConv2D, RPReLU, RSign, ScaledSign, native
from s2bnn_tf.layers.native import library
from s2bnn_tf.layers.native.library import without_kernels

pytestmark = pytest.mark.both_sets

DIGEST = """
import hashlib, sys
import numpy as np, tensorflow as tf
from s2bnn_tf.layers import RPReLU, native
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
assert native.load_kernels()
rng = np.random.default_rng(0)
inputs = tf.constant(rng.normal(size=(4, 40, 40, 24)), tf.float32)
layer = RPReLU()
with tf.GradientTape() as tape:
    tape.watch(inputs)
    loss = tf.reduce_sum(layer(inputs, training=True) ** 3)
gradients = tape.gradient(loss, [inputs, *layer.trainable_variables])
print(hashlib.sha256(b"".join(g.numpy().tobytes() for g in gradients)).hexdigest())
"""


def draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def differentiate(layer, inputs):
    """The outputs of a layer in training, and the gradients of a weighted sum of them."""
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        weights = draw(np.random.default_rng(1), *outputs.shape)
        loss = tf.reduce_sum(outputs * weights)
    gradients = tape.gradient(loss, [inputs, *layer.trainable_variables])
    return [value.numpy() for value in (outputs, *gradients)]


def perturb(layer, inputs, rng) -> None:
    layer(inputs)
    for variable in layer.trainable_variables:
        variable.assign(variable + 0.2 * draw(rng, *variable.shape))


def relative(ours, theirs) -> float:
    return float(np.abs(ours - theirs).max() / (np.abs(theirs).max() + 1e-30))


@pytest.mark.parametrize("channels", [1, 8, 13, 32, 100])
@pytest.mark.parametrize("make", [RSign, RPReLU])
def test_an_activation_and_its_gradient_are_equal_to_the_bit_but_for_sums(kernels, make, channels):
    rng = np.random.default_rng(channels)
    layer, inputs = make(), draw(rng, 3, 31, 17, channels)
    inputs[0, 0, :2] = 0.0  # where both have kinks
    perturb(layer, inputs, rng)
    ours = differentiate(layer, inputs)
    with without_kernels():
        theirs = differentiate(layer, inputs)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])
    assert max(map(relative, ours[2:], theirs[2:])) < 2e-6


@pytest.mark.parametrize("channels", [32, 40, 64, 130])
@pytest.mark.parametrize(
    ("filters", "size", "options"),
    [
        (16, 3, {}),
        (20, 3, {"strides": 2}),
        (7, 1, {}),
        (8, 3, {"strides": 2, "padding": "valid"}),
        (33, (2, 5), {"strides": (1, 3)}),
        (16, 3, {"binarize_weights": False}),
    ],
)
def test_a_convolution_and_its_gradients(kernels, channels, filters, size, options):
    rng = np.random.default_rng(channels)
    layer, inputs = BinaryConv2D(filters, size, **options), draw(rng, 2, 9, 11, channels)
    perturb(layer, inputs, rng)
    ours = differentiate(layer, inputs)
    with without_kernels():
        theirs = differentiate(layer, inputs)
    assert relative(ours[0], theirs[0]) < 1e-5
    for mine, other in zip(ours[1:3], theirs[1:3]):  # those of the inputs and of the weights
        np.testing.assert_array_equal(mine, other)
    assert relative(ours[3], theirs[3]) < 2e-6


def test_a_convolution_counts_exactly(kernels):
    rng = np.random.default_rng(0)
    inputs, bias = draw(rng, 1, 5, 6, 70), draw(rng, 70)
    scale, signs = np.abs(draw(rng, 9)), np.sign(draw(rng, 3, 3, 70, 9))
    ours = native.binary_convolution(inputs, bias, scale * signs, (2, 1), "same").numpy()
    padded = np.pad(np.where(inputs + bias >= 0, 1, -1), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for y, x in np.ndindex(3, 6):
        window = padded[0, 2 * y : 2 * y + 3, x : x + 3]
        count = np.einsum("ijc,ijcf->f", window, signs.astype(int))
        np.testing.assert_array_equal(ours[0, y, x], scale * count.astype(np.float32))


def test_what_is_not_a_number_is_never_hidden_by_a_sign(kernels):
    inputs = np.ones((1, 4, 4, 32), np.float32)
    inputs[0, 1, 2, 3] = np.nan
    signs = native.rsign(inputs, np.zeros(32, np.float32)).numpy()
    assert np.isnan(signs[0, 1, 2, 3]) and np.isnan(signs).sum() == 1
    kernel = np.ones((1, 1, 32, 8), np.float32)
    outputs = native.binary_convolution(inputs, np.zeros(32, np.float32), kernel, (1, 1), "valid")
    assert np.isnan(outputs).all()


def operations(layer, dtype=tf.float32, training=True, shape=(1, 4, 4, 64)) -> list[str]:
    """Those of ours in the graph of a layer."""
    layer(tf.zeros(shape, dtype))
    function = tf.function(lambda x: layer(x, training=training))
    graph = function.get_concrete_function(tf.TensorSpec(shape, dtype)).graph
    return [operation.type for operation in graph.get_operations() if "S2bnn" in operation.type]


class OtherSigns(ScaledSign):
    """Weights that differ in more than their sign."""

    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    "options",
    [
        {"pad_values": 1.0},
        {"groups": 2},
        {"dilation_rate": 2},
        {"use_bias": True},
        {"activation": "relu"},
        {"kernel_quantizer": "ste_sign"},
        {"kernel_quantizer": OtherSigns()},
        {"input_quantizer": "ste_sign"},
        {"binarize_weights": False},
    ],
)
def test_a_convolution_that_they_do_not_compute_is_tensorflows(kernels, options):
    assert "S2bnnBinaryConv" in operations(BinaryConv2D(8, 3))
    assert "S2bnnBinaryConv" not in operations(BinaryConv2D(8, 3, **options))
    assert "S2bnnBinaryConv" not in operations(BinaryConv2D(8, 3), shape=(1, 4, 4, 16))
    assert "S2bnnBinaryConv" not in operations(BinaryConv2D(8, 1), shape=(1, 4, 4, 32))


def test_a_filter_that_is_larger_than_its_map_is_refused(kernels):
    layer = BinaryConv2D(8, 5, padding="valid")
    layer(tf.zeros((1, 9, 9, 64)))
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
        layer(tf.zeros((1, 3, 3, 64)), training=True)


@pytest.mark.parametrize("make", [RSign, RPReLU])
def test_no_pictures_have_gradients_of_zero(kernels, make):
    layer = make()
    layer(tf.zeros((1, 2, 2, 8)))
    gradients = differentiate(layer, np.zeros((0, 2, 2, 8), np.float32))[2:]
    assert all((gradient == 0).all() for gradient in gradients)


def test_only_training_in_float32_uses_them(kernels):
    assert operations(RPReLU(), tf.float32, True) == ["S2bnnRPReLU"]
    assert operations(RPReLU(), tf.float32, False) == operations(RPReLU(), tf.float32, None) == []
    assert operations(RPReLU(dtype="mixed_bfloat16"), tf.bfloat16, True) == []
    with native.kernels_in_prediction():  # that of a teacher
        assert operations(RPReLU(), tf.float32, False) == ["S2bnnRPReLU"]


def test_a_saved_model_holds_nothing_that_others_lack(kernels, tmp_path):
    network = tf.keras.Sequential([tf.keras.Input((8, 8, 32)), BinaryConv2D(32, 3), RPReLU()])
    network(tf.zeros((1, 8, 8, 32)), training=True)
    tf.saved_model.save(network, str(tmp_path))
    assert b"S2bnn" not in (tmp_path / "saved_model.pb").read_bytes()


def test_a_network_trains_alike(kernels):
    def train() -> np.ndarray:
        tf.keras.utils.set_random_seed(3)
        network = tf.keras.Sequential(
            [
                tf.keras.Input((16, 16, 3)),
                tf.keras.layers.Conv2D(32, 3, padding="same"),
                *(BinaryConv2D(64, 3, strides=2), tf.keras.layers.BatchNormalization(), RPReLU()),
                *(BinaryConv2D(64, 1), tf.keras.layers.BatchNormalization(), RPReLU()),
                tf.keras.layers.GlobalAveragePooling2D(),
            ]
        )
        network.compile("adam", "mse")
        rng = np.random.default_rng(0)
        images, targets = draw(rng, 64, 16, 16, 3), draw(rng, 64, 64)
        done = network.fit(images, targets, batch_size=16, epochs=3, shuffle=False, verbose=0)
        return np.array(done.history["loss"])

    ours = train()
    with without_kernels():
        theirs = train()
    assert ours[-1] < ours[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_threads_do_not_change_a_bit(kernels):
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST, threads], check=True, capture_output=True, text=True
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1 and len(digests.pop().strip()) == hashlib.sha256().digest_size * 2


@pytest.mark.skipif(platform.machine() != "x86_64", reason="These are processors of x86.")
@pytest.mark.parametrize("processor", ["x86-64", "haswell", "skylake-avx512", "native"])
def test_every_kind_of_processor_counts_exactly(kernels, processor, tmp_path):
    """As far as this one can run the code for it."""
    flags = Path("/proc/cpuinfo").read_text()
    if processor == "skylake-avx512" and "avx512bw" not in flags:
        pytest.skip("This processor has no AVX-512.")
    source, program = Path(native.__file__).parent, tmp_path / "count"
    options = [flag for flag in library._FLAGS if flag not in ("-march=native", "-shared")]
    command = ["g++", *options, f"-march={processor}", "-std=c++17", f"-I{source}"]
    check = Path(__file__).with_name("count_bits.cc")
    subprocess.run([*command, str(check), "-o", str(program)], check=True)
    done = subprocess.run([program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
