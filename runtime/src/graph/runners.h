// The kinds of steps, ready to run.
#pragma once

#include <memory>

#include "graph/executor.h"

namespace s2bnn {

std::unique_ptr<Runner> make_runner(const Step& step, const Partition& partition, const Kernels& kernels);

}  // namespace s2bnn
