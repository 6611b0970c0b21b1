// The check that a graph can be executed in the order of its nodes.
#pragma once

#include <string>
#include <vector>

#include "host/tflite_abi.h"

namespace s2bnn {

// What gives a tensor its values before any node runs. A host's interface does not tell the inputs
// of a graph, so there the others may all be inputs.
enum class Source { kNothing, kConstant, kInput, kVariable, kPerhapsInput };

struct OrderedNode {
  std::string description;  // for messages
  std::vector<int> inputs, outputs;
};

// A node in words. `custom_name` is null for an operator that is no custom one.
std::string describe_node(int index, int builtin_code, const char* custom_name);

// Checks that each node makes tensors that nothing else gives values, and reads no tensor before
// its values are there. `sources` has an entry for each tensor. Throws Error with the node and the
// tensor.
void check_order(const std::vector<OrderedNode>& nodes, const std::vector<Source>& sources);

// Checks the whole execution plan of a host in this way, also the nodes that we never claim. Hosts
// trust the file in this, and crash while they make partitions of another graph. The structs must
// have passed check_layout().
void check_execution_order(TfLiteContext* context);

}  // namespace s2bnn
