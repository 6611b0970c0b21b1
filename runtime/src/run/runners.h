// Steps with their weights, ready to run.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/kernels.h"
#include "plan/plan.h"

namespace s2bnn {

// Memory that one thread may overwrite at any time.
struct Scratch {
  uint16_t* sums;  // one tile
  float* made;     // one tile
  float* slots;    // as many tiles as the programs need
};

class Runner {
 public:
  virtual ~Runner() = default;

  // Takes the addresses of all tensors for the coming run.
  virtual void bind(void* const* memory) = 0;

  // A phase starts when the one before it is finished.
  virtual int phases() const { return 1; }

  // Runs one chunk of a phase, out of `chunks`. Threads may run different chunks at once.
  virtual void run(int phase, int chunk, int chunks, const Scratch& scratch) = 0;
};

// The partition and the kernels must outlive the runner.
std::unique_ptr<Runner> make_runner(const Step& step, const Partition& partition,
                                    const Kernels& kernels);

}  // namespace s2bnn
