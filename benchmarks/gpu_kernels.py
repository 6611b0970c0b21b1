"""Say which operations of a graph have no kernel for a GPU, and which tensors leave one.

No GPU is needed: the kernels are those that the installed TensorFlow has registered, and its Linux
packages are built with CUDA. What is said holds before TensorFlow optimizes the graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

import tensorflow as tf
from tensorflow.core.framework.kernel_def_pb2 import KernelDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.framework.op_def_pb2 import OpDef
from tensorflow.python.framework import kernels
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

_NO_KERNEL_NEEDED = {"NoOp", "Placeholder"}
_ALWAYS_ON_HOST = (tf.resource, tf.variant, tf.string)


def operations(graph: tf.Graph) -> Iterator[tf.Operation]:
    """All operations of a graph and of the functions that it calls."""
    yield from graph.get_operations()
    for function in graph.as_graph_def().library.function:
        yield from function_def_to_graph(function).get_operations()


def gpu_kernel(node: NodeDef) -> KernelDef | None:
    """The kernel that a GPU would run a node with, or None."""
    fitting = [kernel for kernel in _gpu_kernels(node.op) if _fits(kernel, node)]
    return max(fitting, key=lambda k: (k.device_type == "GPU", k.priority), default=None)


def without_kernel(graph: tf.Graph) -> Counter[str]:
    """Count the operations that no GPU can run, by operation and types."""
    nodes = (operation.node_def for operation in operations(graph))
    return Counter(
        _describe(node)
        for node in nodes
        if node.op not in _NO_KERNEL_NEEDED and gpu_kernel(node) is None
    )


def copies_to_host(graph: tf.Graph) -> Counter[str]:
    """Count the tensors that are made in a GPU's memory and read in the host's.

    Each of them makes the host wait for the GPU. Sizes and shapes do not: those are made in the
    host's memory by the GPU's kernels too.
    """
    return Counter(
        f"{_describe(tensor.op.node_def)} -> {operation.type}"
        for operation in operations(graph)
        for tensor, on_host in zip(operation.inputs, _on_host(operation, inputs=True), strict=True)
        if on_host
        and tensor.dtype not in _ALWAYS_ON_HOST
        and not _on_host(tensor.op, inputs=False)[tensor.value_index]
    )


@cache
def _gpu_kernels(operation: str) -> tuple[KernelDef, ...]:
    found = kernels.get_registered_kernels_for_op(operation).kernel
    return tuple(kernel for kernel in found if kernel.device_type in ("GPU", "DEFAULT"))


def _fits(kernel: KernelDef, node: NodeDef) -> bool:
    """Whether the types of a node are among those of a kernel."""
    if kernel.label != node.attr["_kernel"].s.decode():
        return False
    return all(
        set(_types(node, constraint.name)) <= set(constraint.allowed_values.list.type)
        for constraint in kernel.constraint
    )


def _types(node: NodeDef, name: str) -> list[int]:
    attribute = node.attr[name]
    return list(attribute.list.type) or [attribute.type]


def _on_host(operation: tf.Operation, *, inputs: bool) -> list[bool]:
    """Whether a GPU's kernel has each of its inputs, or of its outputs, in the host's memory."""
    node, definition = operation.node_def, operation.op_def
    tensors = operation.inputs if inputs else operation.outputs
    kernel = gpu_kernel(node)
    if kernel is None:  # it would run on the host
        return [True] * len(tensors)
    if node.op == "Placeholder":
        return [False] * len(tensors)
    arguments = definition.input_arg if inputs else definition.output_arg
    host = set(kernel.host_memory_arg)
    return [argument.name in host for argument in arguments for _ in range(_count(argument, node))]


def _count(argument: OpDef.ArgDef, node: NodeDef) -> int:
    """Count the tensors that an operation takes or returns under one name."""
    if argument.number_attr:
        return int(node.attr[argument.number_attr].i)
    if argument.type_list_attr:
        return len(node.attr[argument.type_list_attr].list.type)
    return 1


def _describe(node: NodeDef) -> str:
    types = (tf.as_dtype(value.type).name for value in node.attr.values() if value.type)
    return f"{node.op}({', '.join(sorted(set(types)))})"
