#pragma once

#include "host/tflite_abi.h"

namespace s2bnn {

// Looks whether the host's structs are what tflite_abi.h says, before anything is believed: the execution plan, every tensor and
// every node of the graph must be possible. A host that has inserted a field, or whose tensors have another size, fails here with
// a message, not later with a crash. Throws Error.
void check_layout(TfLiteContext* context);

}  // namespace s2bnn
