// The check that a graph can be executed in the order of its plan.
#pragma once

#include "host/tflite_abi.h"

namespace s2bnn {

// Checks the whole execution plan, also the nodes that we never claim: each node has outputs that
// nobody else makes and that are no constants, and reads no tensor that it or a later node makes.
// Hosts trust the file in this and crash while they make partitions of another graph. A tensor that
// no node makes is an input of the graph, a constant or a variable: the interface does not tell
// which. Throws Error with the node and the tensor. The structs must have passed check_layout().
void check_execution_order(TfLiteContext* context);

}  // namespace s2bnn
