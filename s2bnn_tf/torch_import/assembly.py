"""From a state dict to networks: recognize them, build them, and account for every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from s2bnn_tf.backbones import CONVNEXT_SIZES, VIT_SIZES, Encoder
from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.image_size import ImageSize
from s2bnn_tf.objectives import KeyQueue
from s2bnn_tf.runs import build_encoder
from s2bnn_tf.torch_import.convnext import COMPLETE as CONVNEXT
from s2bnn_tf.torch_import.convnext import convnext_name, fill_convnext
from s2bnn_tf.torch_import.efficientnet import fill_efficientnet
from s2bnn_tf.torch_import.head_names import head_layers
from s2bnn_tf.torch_import.naming import (
    MOMENTUM_UNUSED,
    Naming,
    leading_numbers,
    recognize_naming,
    recognize_network,
    torchvision_name,
)
from s2bnn_tf.torch_import.network import Network
from s2bnn_tf.torch_import.networks import fill_head, fill_reactnet, fill_resnet, take_linear
from s2bnn_tf.torch_import.structure import choose_networks, describe_networks, without_wrappers
from s2bnn_tf.torch_import.tensors import TensorAccount, describe_shape
from s2bnn_tf.torch_import.vision_transformers import (
    COMPLETE as VIT,
)
from s2bnn_tf.torch_import.vision_transformers import (
    HEAD_UNUSED,
    MASK_UNUSED,
    fill_vit,
    is_head,
    publishers_name,
)
from s2bnn_tf.torch_import.words import shown

ARCHITECTURES = (
    *("resnet18", "resnet34", "resnet50", "resnet50_w2", "resnet50_w4", "reactnet"),
    *("efficientnet_lite0", *CONVNEXT_SIZES),
    *("clip_vit_b32", "clip_vit_b16", "clip_rn50", "tinyclip_vit_39m", "siglip_vit_b16"),
    *("dino_vits16", "dino_vits8", "dino_vitb16", "dino_vitb8"),
    *(f"dinov2_vit{size}14{registers}" for size in "sbl" for registers in ("", "_reg")),
)

# The functions that fill a backbone, by its name; every other one is a ResNet.
_FILL = {
    "reactnet": fill_reactnet,
    "efficientnet_lite0": fill_efficientnet,
    **dict.fromkeys(VIT_SIZES, fill_vit),
    **dict.fromkeys(CONVNEXT_SIZES, fill_convnext),
}
_QUEUE_UNUSED = "keys without the encoder that made them"
_MODELS_AVERAGED = "the count of averaged models, beside the averages"


@dataclass(frozen=True)
class Imported:
    """The networks of a checkpoint.

    Attributes:
        config: The recipe that builds the encoder.
        encoder: Backbone and head with the weights of the file.
        momentum_encoder: The key encoder with the weights of the file, or None unless the file
            has both a key encoder and a queue.
        queue: The queue of keys, or None unless the file has both.
        classifier: Kernel `(C, K)` and bias `(K,)` of a linear classifier on the features, or
            None if the file has none.
        record: The findings about the file, and the tensors used and ignored, ready for JSON.
    """

    config: Config
    encoder: Encoder
    momentum_encoder: Encoder | None
    queue: KeyQueue | None
    classifier: tuple[NDArray[Any], NDArray[Any]] | None
    record: dict[str, Any]


@dataclass(frozen=True)
class Recognized:
    """What the names and shapes of a state dict say, before memory is taken for a network.

    Attributes:
        account: The tensors, those of the backbones by torchvision's names.
        naming: The names of the parts.
        network: The backbone.
        head: What comes after the backbone.
    """

    account: TensorAccount
    naming: Naming
    network: Network
    head: Head


@dataclass(frozen=True)
class Head:
    """The part of a network after its features: a head, or a linear classifier.

    Attributes:
        layers: The words that `projection_head` takes, or `"none"` without a head.
        hidden_dim: Units of every linear layer but the last; None if as many as features.
        embedding_dim: Dimension D of the embedding.
        classes: Number of classes K of a linear classifier, or None.
    """

    layers: str
    hidden_dim: int | None
    embedding_dim: int
    classes: int | None


def import_tensors(
    tensors: Mapping[str, NDArray[Any]],
    *,
    architecture: str | None = None,
    step: int | None = None,
    prefix: str | None = None,
    data: str = "folder:/data/imagenet",
    image_size: ImageSize = 224,
) -> Imported:
    """Build the networks of a state dict and fill them with its tensors.

    Args:
        tensors: The state dict.
        architecture: As for `import_torch`.
        step: As for `import_torch`.
        prefix: As for `import_torch`.
        data: As for `import_torch`.
        image_size: As for `import_torch`.

    Raises:
        ConfigError: If `architecture`, `step` or `prefix` is impossible for this file.
        ModelError: If the tensors belong to no known network, or do not fit it one by one.
    """
    found = recognize(tensors, prefix)
    account, naming, network, head = found.account, found.naming, found.network, found.head
    _check_heads(naming, network)
    _check_wanted(network, architecture, step)
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
    _ignore_the_rest(account, naming, network)
    account.close(network.architecture)
    record = {
        "named_as": naming.publisher_of(network),
        "prefix": naming.encoder,
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


def recognize(tensors: Mapping[str, NDArray[Any]], prefix: str | None = None) -> Recognized:
    """Find the network in a state dict.

    Args:
        tensors: The state dict.
        prefix: As for `import_torch`.

    Raises:
        ConfigError: If no network has this prefix.
        ModelError: If there is no network that can be imported, or more than one.
    """
    short = without_wrappers(tensors)
    networks, outside = choose_networks(list(short.values()), prefix)
    left_out = set(outside)
    names = [name for name in short.values() if name not in left_out]
    naming = recognize_naming(names, networks)
    if naming is None:
        raise ModelError(
            f"The file holds {len(networks)} networks, {describe_networks(networks, names)}: "
            f"choose one, as with --prefix {shown(networks[-1]).rstrip('.') or repr('')}."
        )
    renamed = {short[name]: tensor for name, tensor in tensors.items()}
    account = TensorAccount(_with_one_code(renamed, naming))
    account.ignore_names(outside, f"not below the prefix {naming.encoder!r}, which was asked for")
    account.ignore("n_averaged", _MODELS_AVERAGED)
    network = recognize_network(_backbone_shapes(account, naming))
    return Recognized(account, naming, network, _find_head(account, naming, network))


def _ignore_the_rest(account: TensorAccount, naming: Naming, network: Network) -> None:
    """Ignore tensors that are known not to be needed, and those outside of the network."""
    if network.vit is not None:
        account.ignore(f"{naming.encoder}mask_token", MASK_UNUSED)
        below = account.names(naming.encoder)
        heads = [name for name in below if is_head(name[len(naming.encoder) :])]
        account.ignore_names(heads, HEAD_UNUSED)
    for prefix, reason in naming.ignored.items():
        account.ignore(prefix, reason)
    known = (naming.encoder, naming.head, *(naming.momentum or ()), *(naming.queue or ()))
    account.ignore_others(known, f"beside the network, which is below {naming.encoder!r}")


def _with_one_code(tensors: Mapping[str, NDArray[Any]], naming: Naming) -> dict[str, NDArray[Any]]:
    """The same tensors, where those of the backbones have the names of one code.

    That is torchvision for a ResNet, and the publishers' for other networks.
    """
    renamed = dict(tensors)
    for prefix in {naming.encoder, (naming.momentum or (naming.encoder, ""))[0]}:
        own = {name[len(prefix) :]: name for name in tensors if name.startswith(prefix)}
        numbers = leading_numbers(list(own))
        for inside, name in own.items():
            if any(stem in own for stem in VIT):
                new_name = prefix + publishers_name(inside)
            elif any(stem in own for stem in CONVNEXT):
                new_name = prefix + convnext_name(inside)
            else:
                new_name = prefix + torchvision_name(inside, numbers)
            if new_name != name and new_name in renamed:
                raise ModelError(f"The file has both {shown(name)} and {shown(new_name)}.")
            renamed[new_name] = renamed.pop(name)
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
    if architecture not in (None, found, *ARCHITECTURES):
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(f"--architecture is one of {known}, not {architecture}.")
    if architecture not in (None, found):
        raise ConfigError(
            f"The file looks like {found} and not like {architecture}: correct --architecture, "
            "or leave it out."
        )
    if step is not None and network.backbone != "reactnet":
        raise ConfigError(f"--step is for a reactnet; the file looks like {found}: leave it out.")


def _check_heads(naming: Naming, network: Network) -> None:
    """Refuse a transformer whose number of heads is known to be unusual; no tensor shows it."""
    if network.vit is not None and naming.publisher == "MoCo v3":
        raise ModelError(
            "The file is a vision transformer of MoCo v3, whose attention has other heads than "
            "those of DINO and DINOv2: it cannot be imported."
        )


def _find_head(account: TensorAccount, naming: Naming, network: Network) -> Head:
    shapes = {name[len(naming.head) :]: account.shape(name) for name in account.names(naming.head)}
    layers = head_layers(shapes, naming.activation)
    linear = [f"{name}weight" for kind, name in layers if kind == "linear"]
    outputs = [shapes[name][0] for name in linear]
    # Before memory is taken for a head whose size the file claims.
    for name, inputs in zip(linear, [network.features, *outputs]):
        if shapes[name][1] != inputs or not shapes[name][0]:
            raise ModelError(
                f"{shown(naming.head + name)} is {describe_shape(shapes[name])}, and {inputs} "
                "features come in: the head does not belong to this network."
            )
    if not outputs:
        return Head("none", None, network.features, None)
    if naming.classifies and len(layers) == 1:
        return Head("none", None, network.features, outputs[0])
    hidden = outputs[0] if len(outputs) > 1 and outputs[0] != network.features else None
    return Head(" ".join(kind for kind, _ in layers), hidden, outputs[-1], None)


def _take_queue(account: TensorAccount, naming: Naming, dim: int) -> KeyQueue | None:
    """Take the queue if the file has the key encoder too; ignore either without the other."""
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
    keys, position = account.take_whole(keys_name), account.take_whole(position_name)
    if keys.ndim != 2 or dim not in keys.shape or not keys.size or position.size != 1:
        raise ModelError(
            f"{shown(keys_name)} is {describe_shape(keys.shape)} with a position of "
            f"{describe_shape(position.shape)}, and the embedding has {dim} dimensions: the queue "
            "does not belong to this encoder."
        )
    keys = keys.T if keys.shape[0] == dim else keys  # MoCo has one key per column
    queue = KeyQueue(len(keys), dim)
    queue.keys.assign(keys)
    queue.position.assign(int(position.item()) % len(keys))
    return queue


def _student(network: Network, head: Head, step: int | None) -> StudentConfig:
    is_binary = network.backbone == "reactnet"
    return StudentConfig(
        backbone=network.backbone,
        stem=network.stem,
        width=None if network.width == 1 else network.width,
        binarize_weights=step != 1 if is_binary else None,
        reverse_input=True if network.stem is not None else None,
        **({} if network.vit is None else asdict(network.vit)),
        embedding_dim=head.embedding_dim,
        head=head.layers,
        hidden_dim=head.hidden_dim,
    )


def _filled(
    config: Config, account: TensorAccount, naming: Naming, backbone: str, head: str
) -> Encoder:
    """Build an encoder and fill it with the tensors that have these prefixes."""
    encoder = build_encoder(config)
    name = config.student.backbone
    _FILL.get(name, fill_resnet)(encoder.backbone, account, backbone)
    if encoder.head is not None:
        fill_head(encoder.head, account, head, naming.activation)
    return encoder
