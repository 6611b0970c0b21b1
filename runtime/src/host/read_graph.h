// From the host's graph to ours: which nodes we claim, and what they contain.
#pragma once

#include <string>
#include <vector>

#include "graph/op.h"
#include "host/tflite_abi.h"

namespace s2bnn {

// Chooses the nodes of the execution plan to claim: all of Larq Compute Engine's custom ops, which
// nobody else can run, and, if `fuse` is set, the float ops that are connected with one of them and
// that we can run too. Throws Error for a custom op that is not valid.
std::vector<int> claim_nodes(TfLiteContext* context, bool fuse);

// Reads one of the partitions that the host made of the claimed nodes. The shapes are those that
// the host knows now.
Partition read_partition(TfLiteContext* context, const TfLiteDelegateParams& params);

// Takes over the present shapes of the partition's inputs, which may have been resized, and infers
// all others.
void update_shapes(TfLiteContext* context, Partition* partition);

}  // namespace s2bnn
