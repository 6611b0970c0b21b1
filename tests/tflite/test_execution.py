"""Graphs that cannot be executed in their order: refused with the node and the tensor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from s2bnn_tf.tflite.execution import check_execution
from s2bnn_tf.tflite.flatbuffer import FlatbufferError


@dataclass(frozen=True)
class Tensor:
    name: str = ""
    shape: tuple[int, ...] = (1, 2)
    has_content: bool = False
    is_variable: bool = False


@dataclass(frozen=True)
class Node:
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


# x * weights = y; y + y = z
TENSORS = [Tensor("x"), Tensor("weights", has_content=True), Tensor("y"), Tensor("z")]
NODES = [Node("MUL", (0, 1, -1), (2,)), Node("ADD", (2, 2), (3,))]


def check(tensors=None, nodes=None, inputs=(0,), outputs=(3,)) -> None:
    check_execution(
        TENSORS if tensors is None else tensors, NODES if nodes is None else nodes, inputs, outputs
    )


def test_a_graph_in_order():
    check()
    check(inputs=(0,), outputs=(0, 3))  # an input may be handed on
    check(nodes=[], outputs=(1,))


def test_variables_and_empty_tensors_need_no_maker():
    changed = replace(NODES[0], inputs=(0, 4))
    for tensor in (Tensor("state", is_variable=True), Tensor("axes", shape=(0,))):
        check([*TENSORS, tensor], [changed, NODES[1]])
    with pytest.raises(FlatbufferError, match=r"^node 0 \(MUL\) reads tensor 4, which nothing"):
        check([*TENSORS, Tensor()], [changed, NODES[1]])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (NODES[::-1], r"node 0 (ADD) reads tensor 2 ('y') before node 1 (MUL) makes it"),
        (
            [Node("ADD", (3, 0), (3,))],
            r"node 0 (ADD) reads tensor 3 ('z') before node 0 (ADD) makes it",
        ),
        (
            [*NODES, Node("SUB", (0, 0), (2,))],
            r"node 2 (SUB) makes tensor 2 ('y'), which is made by node 0 (MUL) too",
        ),
        (
            [*NODES, Node("SUB", (0, 0), (1,))],
            r"node 2 (SUB) makes tensor 1 ('weights'), which is a constant",
        ),
        (
            [*NODES, Node("SUB", (2, 2), (0,))],
            r"node 2 (SUB) makes tensor 0 ('x'), which is an input of the graph",
        ),
        ([Node("ADD", (2, 0), (3,))], r"node 0 (ADD) reads tensor 2 ('y'), which nothing makes"),
        (NODES[:1], r"nothing makes the output tensor 3 ('z')"),
        ([*NODES, Node("SUB", (0, 4), ())], "node 2 (SUB) uses tensor 4 of 4"),
        ([*NODES, Node("SUB", (0, -2), ())], "node 2 (SUB) uses tensor -2 of 4"),
        ([*NODES, Node("SUB", (0, 0), (-1,))], "node 2 (SUB) uses tensor -1 of 4"),
    ],
)
def test_the_node_and_the_tensor_are_named(nodes, message):
    with pytest.raises(FlatbufferError) as caught:
        check(nodes=nodes)
    assert str(caught.value) == message


def test_inputs_and_outputs_of_the_graph():
    with pytest.raises(FlatbufferError, match=r"^the graph uses tensor 4 of 4$"):
        check(inputs=(0, 4))
    with pytest.raises(FlatbufferError, match=r"^the graph uses tensor -1 of 4$"):
        check(outputs=(-1,))
    with pytest.raises(FlatbufferError, match=r"^the input tensor 1 \('weights'\) is a constant$"):
        check(inputs=(0, 1))


def test_a_variable_is_never_an_output():
    state = Tensor("state", is_variable=True)
    with pytest.raises(FlatbufferError, match=r"makes tensor 4 \('state'\), which is a variable$"):
        check([*TENSORS, state], [*NODES, Node("ASSIGN", (3,), (4,))])


def test_names_are_cut_and_quoted():
    with pytest.raises(FlatbufferError) as caught:
        check([*TENSORS[:2], Tensor("\x1b[2J" + "n" * 5000), *TENSORS[3:]], NODES[1:])
    assert "\\x1b[2Jnnn" in str(caught.value) and len(str(caught.value)) < 200
