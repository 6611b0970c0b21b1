// The check that a host's structs are as we know them.
#pragma once

#include "host/tflite_abi.h"

namespace s2bnn {

// Checks that the host's structs are as tflite_abi.h describes them, before any value in them is
// used: the execution plan, and every tensor and node of the graph, must be possible. A host that
// has inserted a field, or whose tensors have another size, fails here with a message, not later
// with a crash. Throws Error.
void check_layout(TfLiteContext* context);

}  // namespace s2bnn
