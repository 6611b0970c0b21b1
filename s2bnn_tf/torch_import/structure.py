"""Find complete networks among the names of a state dict, whatever prefix they have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.torch_import import efficientnet, vision_transformers
from s2bnn_tf.torch_import.naming import leading_numbers
from s2bnn_tf.torch_import.network import NONE_KNOWN
from s2bnn_tf.torch_import.words import few, shown

# Parts of a name that wrappers of PyTorch add anywhere in it: around a network, or a layer.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_STEM = "conv1.weight"
_RESNET = ("bn1.running_mean", *(f"layer{stage}.0.conv1.weight" for stage in (1, 2, 3, 4)))
_REACTNET_STEM = "feature.0.conv1.weight"
_REACTNET = ("feature.0.bn1.running_mean", "feature.1.binary_3x3.weight")
# The tensor by which a network is found, and others that it has.
_NETWORKS = {
    _STEM: _RESNET,
    _REACTNET_STEM: _REACTNET,
    **vision_transformers.COMPLETE,
    **efficientnet.COMPLETE,
}
# lightly numbers the parts of a ResNet; these are the first blocks of its stages.
_NUMBERED_STAGE = re.compile(r"((?:.*\.)?)[0-9]+\.0\.conv1\.weight", re.ASCII | re.DOTALL)
_NUMBERED_PARTS, _STAGES = 6, 4


def without_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Names without what wrappers such as DataParallel and torch.compile add to them.

    >>> without_wrappers(["module.encoder_q._orig_mod.conv1.weight"])
    {'module.encoder_q._orig_mod.conv1.weight': 'encoder_q.conv1.weight'}

    Returns:
        The short names by the long ones; all names as they are if two would become the same.
    """
    short = {
        name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in names
    }
    return short if len(set(short.values())) == len(short) else {name: name for name in short}


def find_networks(names: Iterable[str]) -> list[str]:
    """The prefixes of all complete networks that are known, in the order of the file.

    >>> find_networks(["net.feature.0.conv1.weight", "net.fc.weight"])
    ['net.']

    Args:
        names: The names of all tensors, without wrappers.

    Returns:
        The prefixes, each empty or with a dot at its end. If no network is complete, they are
        those below which a network begins.
    """
    names = dict.fromkeys(names)
    complete: dict[str, None] = {}
    begun: dict[str, None] = {}
    stages: Counter[str] = Counter()
    for name in names:
        for stem, rest in _NETWORKS.items():
            prefix = name.removesuffix(stem)
            if prefix == name or prefix[-1:] not in ("", "."):
                continue
            if all(prefix + other in names for other in rest):
                complete[prefix] = None
            elif stem != _STEM or f"{prefix}layer1.0.{_STEM}" in names:
                begun[prefix] = None
        stage = _NUMBERED_STAGE.fullmatch(name)
        if stage:
            stages[stage[1]] += 1
    for prefix in (prefix for prefix, count in stages.items() if count == _STAGES):
        numbers = leading_numbers([n[len(prefix) :] for n in names if n.startswith(prefix)])
        if len(numbers) == _NUMBERED_PARTS and f"{prefix}{numbers[0]}.weight" in names:
            complete[prefix] = None
    return list(complete or begun)


def choose_networks(names: list[str], prefix: str | None) -> tuple[list[str], list[str]]:
    """Find the networks that are in question.

    Args:
        names: The names of all tensors, without wrappers.
        prefix: What `--prefix` says, or None. It is that of one network, or the beginning of it.

    Returns:
        The prefixes of the networks, and the names that do not begin with `prefix`, or belong to
        another network.

    Raises:
        ConfigError: If no network has this prefix.
        ModelError: If there is no network.
    """
    networks = find_networks(names)
    if not networks:
        raise ModelError(
            f"The file holds {NONE_KNOWN} below any prefix (its first tensors are "
            f"{few(names[:3])}; by prefix, it has {_counted(names)}): no other network "
            "can be imported."
        )
    if prefix is None:
        return networks, []
    wanted = prefix and prefix.rstrip(".") + "."
    if not any(network.startswith(wanted) for network in networks):
        wanted = "".join(f"{part}." for part in prefix.split(".") if part not in {"", *_WRAPPERS})
    chosen = [network for network in networks if network.startswith(wanted)]
    chosen = [wanted] if wanted in chosen else chosen
    if not chosen:
        raise ConfigError(
            f"--prefix {shown(prefix)}: no network has this prefix; the file holds "
            f"{describe_networks(networks, names)}."
        )
    others = tuple(
        network
        for network in networks
        if network not in chosen and not any(name.startswith(network) for name in chosen)
    )
    outside = [name for name in names if not name.startswith(wanted) or name.startswith(others)]
    return chosen, outside


def describe_networks(networks: list[str], names: list[str]) -> str:
    """Networks by their prefixes, each with the number of its tensors."""
    counts = (sum(name.startswith(network) for name in names) for network in networks)
    return few(
        f"{shown(network) or 'one without a prefix'} ({count} tensors)"
        for network, count in zip(networks, counts)
    )


def _counted(names: list[str]) -> str:
    """The first parts of names, each with the number of tensors below it."""
    counts = Counter(name.partition(".")[0] for name in names)
    return few(f"{shown(part)} {count}" for part, count in counts.items())
