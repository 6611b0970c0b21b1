"""A state dict becomes networks: recognized, built and filled, every tensor accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig
from s2bnn_tf.errors import UserError
from s2bnn_tf.objectives import KeyQueue
from s2bnn_tf.runs import build_encoder
from s2bnn_tf.torch_import.naming import (
    MOMENTUM_UNUSED,
    Naming,
    Network,
    head_layers,
    leading_numbers,
    recognize_naming,
    recognize_network,
    torchvision_name,
)
from s2bnn_tf.torch_import.networks import fill_head, fill_reactnet, fill_resnet, take_linear
from s2bnn_tf.torch_import.tensors import TensorAccount

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet50_w2", "resnet50_w4", "reactnet")

_QUEUE_UNUSED = "keys without the encoder that made them"


@dataclass(frozen=True)
class Imported:
    """What a checkpoint became.

    Attributes:
        config: The recipe that builds it.
        encoder: Backbone and head, filled.
        momentum_encoder: The key encoder, filled, where the file has one and a queue.
        queue: The keys, where the file has them and their encoder.
        classifier: Kernel `(C, K)` and bias `(K,)` of a linear classifier on the features.
        record: What was recognized, used and ignored, ready for JSON.
    """

    config: Config
    encoder: Encoder
    momentum_encoder: Encoder | None
    queue: KeyQueue | None
    classifier: tuple[np.ndarray, np.ndarray] | None
    record: dict[str, Any]


@dataclass(frozen=True)
class _Head:
    """What stands behind the features: a head, or a linear classifier.

    Attributes:
        layers: As `projection_head` has it, `"none"` for none.
        hidden_dim: Of all linear layers but the last; None for that of the features.
        embedding_dim: D.
        classes: K of a linear classifier, or None.
    """

    layers: str
    hidden_dim: int | None
    embedding_dim: int
    classes: int | None


def import_tensors(
    tensors: Mapping[str, np.ndarray],
    *,
    architecture: str | None = None,
    step: int | None = None,
    data: str = "folder:/data/imagenet",
    image_size: int = 224,
) -> Imported:
    """The networks that a state dict is of; arguments and errors as of `import_torch`."""
    naming = recognize_naming(list(tensors))
    account = TensorAccount(_with_torchvision_names(tensors, naming))
    network = recognize_network(_backbone_shapes(account, naming))
    _check_wanted(network, architecture, step)
    head = _find_head(account, naming, network)
    queue = _take_queue(account, naming, head.embedding_dim)
    config = Config(
        data=DataConfig(source=data, image_size=image_size),
        student=_student(network, head, step),
        objective=ObjectiveConfig(
            contrastive_weight=1.0,
            distillation_weight=0.0,
            queue_size=queue.size if queue else ObjectiveConfig.queue_size,
        ),
    )
    encoder = _filled(config, account, naming, naming.encoder, naming.head)
    momentum_encoder = classifier = None
    if queue is not None and naming.momentum is not None:
        momentum_encoder = _filled(config, account, naming, *naming.momentum)
    if head.classes is not None:
        classifier = take_linear(account, naming.head, network.features, head.classes)
    for prefix, reason in naming.ignored.items():
        account.ignore(prefix, reason)
    account.close(network.architecture)
    record = {
        "named_as": naming.publisher_of(network),
        "architecture": network.architecture,
        "binarize_weights": config.student.binarize_weights,
        "head": head.layers,
        "embedding_dim": head.embedding_dim,
        "classes": head.classes,
        "queue_size": queue.size if queue else None,
        "tensors_used": account.used,
        "ignored": account.ignored,
    }
    return Imported(config, encoder, momentum_encoder, queue, classifier, record)


def _with_torchvision_names(
    tensors: Mapping[str, np.ndarray], naming: Naming
) -> dict[str, np.ndarray]:
    renamed = dict(tensors)
    for prefix in {naming.encoder, (naming.momentum or (naming.encoder, ""))[0]}:
        own = {name[len(prefix) :]: name for name in tensors if name.startswith(prefix)}
        numbers = leading_numbers(list(own))
        for inside, name in own.items():
            renamed[prefix + torchvision_name(inside, numbers)] = renamed.pop(name)
    return renamed


def _backbone_shapes(account: TensorAccount, naming: Naming) -> dict[str, tuple[int, ...]]:
    others = (naming.head, *naming.ignored)
    return {
        name[len(naming.encoder) :]: account.shape(name)
        for name in account.names(naming.encoder)
        if not name.startswith(others)
    }


def _check_wanted(network: Network, architecture: str | None, step: int | None) -> None:
    found = network.architecture
    if architecture is not None and architecture not in ARCHITECTURES:
        raise UserError(f"--architecture is one of {', '.join(ARCHITECTURES)}, not {architecture}.")
    if architecture not in (None, found):
        raise UserError(f"The file looks like {found} and not like {architecture}: say so.")
    if step is not None and network.backbone != "reactnet":
        raise UserError(f"--step is for a reactnet; the file looks like {found}: leave it out.")


def _find_head(account: TensorAccount, naming: Naming, network: Network) -> _Head:
    shapes = {name[len(naming.head) :]: account.shape(name) for name in account.names(naming.head)}
    layers = head_layers(shapes, naming.activation)
    outputs = [shapes[f"{name}weight"][0] for kind, name in layers if kind == "linear"]
    if not outputs:
        return _Head("none", None, network.features, None)
    # A single linear layer is a classifier where nothing says that it is a head.
    if not naming.marks and len(layers) == 1:
        return _Head("none", None, network.features, outputs[0])
    hidden = outputs[0] if len(outputs) > 1 and outputs[0] != network.features else None
    return _Head(" ".join(kind for kind, _ in layers), hidden, outputs[-1], None)


def _take_queue(account: TensorAccount, naming: Naming, dim: int) -> KeyQueue | None:
    """The queue, if the key encoder is there too; one without the other is ignored."""
    if naming.queue is None or naming.momentum is None:
        return None
    keys_name, position_name = naming.queue
    has_encoder = bool(account.names(naming.momentum[0]))
    if keys_name not in account or position_name not in account or not has_encoder:
        for name in naming.queue:
            account.ignore(name, _QUEUE_UNUSED)
        for prefix in naming.momentum:
            account.ignore(prefix, MOMENTUM_UNUSED)
        return None
    keys = account.take_whole(keys_name)
    if keys.ndim != 2 or dim not in keys.shape:
        raise UserError(
            f"{keys_name} is of shape {keys.shape}, and the embedding has {dim} dimensions: "
            "the queue is not that of this encoder."
        )
    keys = keys.T if keys.shape[0] == dim else keys  # MoCo has a key a column
    queue = KeyQueue(len(keys), dim)
    queue.keys.assign(keys)
    queue.position.assign(int(account.take_whole(position_name).item()) % len(keys))
    return queue


def _student(network: Network, head: _Head, step: int | None) -> StudentConfig:
    is_binary = network.backbone == "reactnet"
    return StudentConfig(
        backbone=network.backbone,
        stem=network.stem,
        width=None if network.width == 1 else network.width,
        binarize_weights=step != 1 if is_binary else None,
        reverse_input=True,
        embedding_dim=head.embedding_dim,
        head=head.layers,
        hidden_dim=head.hidden_dim,
    )


def _filled(
    config: Config, account: TensorAccount, naming: Naming, backbone: str, head: str
) -> Encoder:
    """An encoder with the tensors that have these prefixes."""
    encoder = build_encoder(config)
    fill = fill_reactnet if config.student.backbone == "reactnet" else fill_resnet
    fill(encoder.backbone, account, backbone)
    if encoder.head is not None:
        fill_head(encoder.head, account, head, naming.activation)
    return encoder
