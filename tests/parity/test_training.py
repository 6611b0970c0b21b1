"""Ten Adam steps from the same weights on the same batches, in float64, against the oracle."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.torch_import import naming, network
from s2bnn_tf.torch_import.assembly import Imported, import_tensors
from s2bnn_tf.training import Adam, Pretrainer

torch = pytest.importorskip("torch")
networks = pytest.importorskip("oracle.networks")
publishers = pytest.importorskip("oracle.publishers")
training = pytest.importorskip("oracle.training")

STEPS, BATCH, WIDTH = 10, 6, 0.0625
BLOCKS = 4  # of thirteen; they include every kind of block, and the rest takes minutes
TOLERANCE = 1e-6


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


@pytest.fixture
def short_reactnet(monkeypatch) -> None:
    """Shorten the ReActNet of both sides to a few blocks."""
    ours = sys.modules["s2bnn_tf.backbones.layout"]
    monkeypatch.setattr(ours, "_BLOCKS", ours._BLOCKS[:BLOCKS])
    monkeypatch.setattr(ours, "_SMALLEST_MAP", 1)
    monkeypatch.setattr(naming, "_REACTNET_BLOCKS", BLOCKS)
    channels = networks.ReActNet.CHANNELS[: BLOCKS + 1]
    monkeypatch.setattr(networks.ReActNet, "CHANNELS", channels)
    monkeypatch.setitem(network._FEATURES, "reactnet", channels[-1])


def make_views(size: int) -> np.ndarray:
    """A query view and a key view for every step: `(STEPS, 2, B, H, W, 3)`."""
    return np.random.default_rng(0).normal(size=(STEPS, 2, BATCH, size, size, 3))


def channels_first(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def arrays(module) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


def assert_close(ours, theirs, what: str) -> None:
    """Compare relative to the largest number in the tensor."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE * np.abs(theirs).max(), err_msg=what)


def build(recipe, imported: Imported, teacher: Encoder | None) -> Pretrainer:
    pretrainer = Pretrainer(
        student=imported.encoder,
        teacher=teacher,
        momentum_encoder=imported.momentum_encoder if recipe.contrastive else None,
        queue=imported.queue if recipe.contrastive else None,
        contrastive_weight=float(recipe.contrastive),
        distillation_weight=float(recipe.distillation),
        temperature=training.TEMPERATURE,
        momentum=training.MOMENTUM,
    )
    optimizer = Adam(training.LEARNING_RATE, l2=recipe.weight_decay)
    optimizer.build(imported.encoder.trainable_variables)
    pretrainer.compile(optimizer=optimizer)
    return pretrainer


def losses_of(pretrainer: Pretrainer, step, batch: np.ndarray) -> dict[str, float]:
    pretrainer.reset_metrics()
    logs = step(tuple(tf.constant(view) for view in batch))
    return {name: float(logs[name]) for name in ("contrastive", "distillation") if name in logs}


NAMES = ("contrastive", "contrastive_distillation", "distillation")


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_ten_steps_of_the_whole_reactnet(name, step):
    check_ten_steps(name, step, size=128)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_ten_steps(name, step, short_reactnet):
    check_ten_steps(name, step, size=32)


def check_ten_steps(name: str, step: int, size: int) -> None:
    views = make_views(size)
    recipe = training.RECIPES[name]
    moco = publishers.s2bnn_network(binary=step == 2, width=WIDTH, dim=16, size=40).double()
    imported = import_tensors(arrays(moco), step=step, image_size=size)
    oracle_teacher = teacher = None
    if recipe.distillation:
        head = networks.mlp(64, 16)
        oracle_teacher = publishers.fill(networks.ResNet(18, width=0.125, fc=head), seed=1).double()
        tensors = publishers.prefixed("encoder_q.", arrays(oracle_teacher))
        teacher = import_tensors(tensors, image_size=size).encoder
        teacher.trainable = False
    oracle = training.Trainer(recipe, moco, oracle_teacher)
    pretrainer = build(recipe, imported, teacher)
    train_step = tf.function(pretrainer.train_step)
    for number, batch in enumerate(views):
        expected = oracle.step(*map(channels_first, batch))
        found = losses_of(pretrainer, train_step, batch)
        assert found.keys() == expected.keys()
        for loss, value in expected.items():
            np.testing.assert_allclose(found[loss], value, rtol=TOLERANCE, err_msg=f"step {number}")
    after = import_tensors(arrays(moco), step=step, image_size=size)
    if recipe.contrastive:
        assert_close(imported.queue.keys, after.queue.keys, "queue")
        assert int(imported.queue.position) == int(after.queue.position) == (3 + 60) % 40
        compare_weights(imported.momentum_encoder, after.momentum_encoder)
    compare_weights(imported.encoder, after.encoder)
    images = views[0, 0]
    with torch.no_grad():
        embedding = torch.nn.functional.normalize(moco.encoder_q(channels_first(images)))
    assert_close(imported.encoder(images, training=True), embedding, "embedding")


def compare_weights(ours: Encoder, theirs: Encoder) -> None:
    """Compare the parameters only, since the moving variances count samples differently."""
    for mine, yours in zip(ours.trainable_variables, theirs.trainable_variables, strict=True):
        assert_close(mine, yours, mine.name)
