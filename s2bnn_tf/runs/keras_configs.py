"""What the configuration in a `.keras` file may name: layers and arithmetic, and no code.

Keras builds a network from such a configuration by looking up names. Some of the names lead
anywhere: a Lambda layer calls any function of any module, an operation layer calls any function
of TensorFlow, which has some that write files, and a few layers open files whose paths they are
given. Keras's safe mode refuses only Python bytecode. So every name in the configuration is
compared with a list before Keras sees it, and what is not on a list is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import larq as lq
import tensorflow as tf

keras = tf.keras

# The parts of Keras whose layers compute on images and maps. Those that are missing here run
# functions (core.lambda_layer, rnn) or read files (the lookups of words).
_LAYER_MODULES = re.compile(
    r"(tf_)?keras\.src\.layers\."
    r"(activation|attention|convolutional|merging|normalization|pooling|regularization|reshaping"
    r"|core\.(activation|dense|einsum_dense|embedding|identity|masking)"
    r"|preprocessing\.(image_preprocessing|normalization))(\.|$)"
    r"|(tf_)?keras\.src\.engine\.input_layer$"
)
_OPERATION_LAYERS = ("TFOpLambda", "SlicingOpLambda")
# Functions of TensorFlow that return numbers computed from their arguments and do nothing else.
_OPERATIONS = frozenset(
    """
    __operators__.add __operators__.getitem
    math.abs math.add math.add_n math.divide math.erf math.exp math.l2_normalize math.log
    math.maximum math.minimum math.multiply math.negative math.pow math.reciprocal
    math.reduce_max math.reduce_mean math.reduce_min math.reduce_std math.reduce_sum
    math.reduce_variance math.rsqrt math.sigmoid math.sign math.softplus math.sqrt math.square
    math.subtract math.tanh math.truediv
    clip_by_value concat expand_dims identity linalg.matmul reshape reverse squeeze stack
    stop_gradient transpose
    nn.avg_pool2d nn.depth_to_space nn.elu nn.gelu nn.leaky_relu nn.max_pool2d nn.relu nn.relu6
    nn.selu nn.silu nn.softmax nn.space_to_depth
    compat.v1.nn.depth_to_space compat.v1.nn.space_to_depth compat.v1.transpose
    """.split()
)
_ACTIVATIONS = frozenset(
    """
    elu exponential gelu hard_sigmoid leaky_relu linear mish relu relu6 selu sigmoid silu softmax
    softplus softsign swish tanh
    """.split()
)
_DTYPES = frozenset("bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64".split())
_VALUES = ("__tensor__", "__numpy__")
_MODELS = ("Functional", "Model", "Sequential")
_DEEPEST = 100  # levels of nesting; a model takes about six
_MOST_PASSES = 100  # over the layers, until each has its inputs; in Keras's own order one suffices


def check_config(config: Any) -> None:
    """Check the configuration of a network, so that building it runs nothing but layers.

    Layers are Keras's, Larq's, ours, and those of others that were registered with
    `keras.saving.register_keras_serializable` before.

    Args:
        config: The content of `config.json`, without what `without_compilation` removes.

    Raises:
        ValueError: If it names anything else, or is no configuration that Keras would write;
            the message is the reason, as a part of a sentence.
    """
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError("its config.json describes no model")
    for key, value in _walk(config):
        if isinstance(value, dict):
            _check_dictionary(value)
        elif isinstance(value, str):
            _check_identifier(key, value)


def without_compilation(config: Any, depth: int = 0) -> Any:
    """Return a configuration without losses, metrics and optimizers, which a teacher lacks.

    Raises:
        ValueError: If it is nested too deeply.
    """
    if depth > _DEEPEST:
        raise ValueError(f"its config.json is nested more than {_DEEPEST} levels deep")
    if isinstance(config, dict):
        return {
            key: without_compilation(value, depth + 1)
            for key, value in config.items()
            if key != "compile_config"
        }
    if isinstance(config, list):
        return [without_compilation(value, depth + 1) for value in config]
    return config


def _walk(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values at all depths, each with the key under which it is found."""
    yield key, value
    if isinstance(value, dict):
        for name, inside in value.items():
            yield from _walk(inside, name)
    elif isinstance(value, list):
        for inside in value:
            yield from _walk(inside, key)


def _check_dictionary(config: dict[str, Any]) -> None:
    if "_TYPE" in config:
        raise ValueError("it holds a tensor that is not a plain array")
    if "class_name" in config or "registered_name" in config or "module" in config:
        _check_object(config)
    if isinstance(config.get("layers"), list):
        _check_order(config["layers"])


def _check_object(config: dict[str, Any]) -> None:
    """Check the description of one object, which Keras looks up by up to three names."""
    name, module, inside = (config.get(key) for key in ("class_name", "module", "config"))
    if not isinstance(name, str) or not isinstance(inside, dict):
        raise ValueError(f"it holds an object without a name or a configuration ({name})")
    if name in _VALUES:
        _check_value(inside)
        return
    registered = keras.saving.get_custom_objects()
    registered_name = config.get("registered_name", name)
    for key in {name, registered_name} & registered.keys():
        kind = registered[key]
        if not (isinstance(kind, type) and issubclass(kind, _ACCEPTED)):
            raise ValueError(f"it uses {key}, which is registered, but not as a layer")
        if issubclass(kind, keras.layers.Lambda):
            raise ValueError(f"it uses {key}, which is a Lambda layer")
    modules = (
        {registered[registered_name].__module__}
        if registered_name in registered
        else _BUILT_IN.get(name)
    )
    if modules is None or (module is not None and module not in modules):
        raise ValueError(f"it uses {name} of {module}, which is not among the layers known here")
    if name in _OPERATION_LAYERS and inside.get("function") not in _OPERATIONS:
        raise ValueError(
            f"it calls tf.{inside.get('function')}, which is not among the operations known here"
        )
    _check_nodes(name, config.get("inbound_nodes", []))


def _check_value(config: dict[str, Any]) -> None:
    if config.get("dtype") not in _DTYPES:
        raise ValueError(f"it holds an array of the type {config.get('dtype')}")


def _check_identifier(key: str, value: str) -> None:
    """Check a text that Keras takes for the name of a function or a class."""
    kind = key.rsplit("_", 1)[-1]
    if kind in _IDENTIFIERS and value not in _IDENTIFIERS[kind]:
        raise ValueError(f"it names {value} as {key}, which Keras does not have")


def _check_nodes(name: str, nodes: Any) -> None:
    """Check that whatever is computed while loading are operations on symbols.

    A layer that is called with constants alone would run at once.
    """
    for node in _references(nodes, with_constants=True):
        if node[0] != "_CONSTANT_VALUE":
            continue
        if name not in _OPERATION_LAYERS or not list(_references(node[3:])):
            raise ValueError(f"it applies {name} to a constant")


def _references(value: Any, *, with_constants: bool = False) -> Iterator[list[Any]]:
    """The entries of the form `[layer, node, output, ...]` that name the output of a layer."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return
    is_reference = (
        len(value) in (3, 4)
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and (isinstance(value[2], int) or value[0] == "_CONSTANT_VALUE")
    )
    if is_reference and (with_constants or value[0] != "_CONSTANT_VALUE"):
        yield value
    for inside in value[3:] if is_reference else value:
        yield from _references(inside, with_constants=with_constants)


def _check_order(layers: list[Any]) -> None:
    """Check that every layer gets its inputs; Keras would wait for them forever."""
    connected = [
        layer
        for layer in layers
        if isinstance(layer, dict) and isinstance(layer.get("inbound_nodes"), list)
    ]
    waiting = {
        layer["name"]: [list(_references(node)) for node in layer["inbound_nodes"]]
        for layer in connected
    }
    if len(waiting) < len(connected):
        raise ValueError("two of its layers have the same name")
    done = {layer["name"]: _calls_at_first(layer) for layer in connected}
    for _ in range(_MOST_PASSES):
        before = sum(done.values())
        for name, nodes in waiting.items():
            while nodes and all(done.get(source, 0) > index for source, index, *_ in nodes[0]):
                nodes.pop(0)
                done[name] += 1
        if not any(waiting.values()):
            return
        if sum(done.values()) == before:
            break
    raise ValueError("its layers wait for each other")


def _calls_at_first(layer: Mapping[str, Any]) -> int:
    """How many outputs a layer has before it is called: an input has one, as has a model."""
    config = layer.get("config")
    inside = config.get("layers") if isinstance(config, dict) else None
    first = inside[0] if isinstance(inside, list) and inside else None
    is_model = (
        layer.get("class_name") in _MODELS
        and isinstance(first, dict)
        and first.get("class_name") == "InputLayer"
    )
    return int(is_model or layer.get("class_name") == "InputLayer")


def _classes(module: Any) -> dict[str, type]:
    return {name: value for name, value in vars(module).items() if isinstance(value, type)}


def _built_in() -> dict[str, set[str]]:
    """The modules under which Keras finds each of its classes that are accepted."""
    known: dict[str, set[str]] = {
        "Functional": _names("keras.src.engine.functional"),
        "LayerScale": _names("keras.src.applications.convnext"),  # of keras.applications.ConvNeXt*
        "Model": {"keras", "keras.models"},
        "Policy": {"keras.mixed_precision"},
        "Sequential": {"keras", "keras.models"},
        **dict.fromkeys(_OPERATION_LAYERS, _names("keras.src.layers.core.tf_op_layer")),
    }
    for part in ("layers", "initializers", "regularizers", "constraints"):
        for name, kind in _classes(getattr(keras, part)).items():
            if part != "layers" or _LAYER_MODULES.match(kind.__module__):
                known.setdefault(name, set()).update({f"keras.{part}", *_names(kind.__module__)})
    return known


def _names(module: str) -> set[str]:
    """A module of Keras 2 as files name it: the package tf_keras also finds what keras wrote."""
    name = module.removeprefix("tf_")
    running = keras.layers.Layer.__module__.split(".")[0]
    return {name, f"tf_{name}"} if running == "tf_keras" else {name}


def _identifiers(part: Any) -> set[str]:
    return {name for name in vars(part) if not name.startswith("_")} - {
        "deserialize",
        "get",
        "serialize",
    }


def _quantizers() -> set[str]:
    kinds = {**vars(lq.quantizers), **keras.saving.get_custom_objects()}
    return {
        name
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, lq.quantizers.Quantizer)
    }


_ACCEPTED = (keras.layers.Layer, keras.constraints.Constraint)
_BUILT_IN = _built_in()
_IDENTIFIERS = {
    "activation": _ACTIVATIONS,
    "initializer": _identifiers(keras.initializers),
    "regularizer": _identifiers(keras.regularizers),
    "constraint": {*_identifiers(keras.constraints), "weight_clip", "WeightClip"},
    "quantizer": _quantizers(),
}
