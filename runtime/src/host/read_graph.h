// From the host's graph to ours: which nodes we take, and what they say.
#pragma once

#include <string>
#include <vector>

#include "graph/op.h"
#include "host/tflite_abi.h"

namespace s2bnn {

// Which nodes of the execution plan to claim: all of Larq Compute Engine's custom ops, which nobody else can run, and, with `fuse`
// set, the float ops that hang together with one of them and that we can run too. Throws Error for a custom op that is not valid.
std::vector<int> claim_nodes(TfLiteContext* context, bool fuse);

// One of the partitions that the host made of the claimed nodes. Shapes are those the host knows now.
Partition read_partition(TfLiteContext* context, const TfLiteDelegateParams& params);

// Takes over the present shapes of the partition's inputs, which may have been resized, and infers all others.
void update_shapes(TfLiteContext* context, Partition* partition);

}  // namespace s2bnn
