// Runs a plan. Everything is allocated here once; a run allocates nothing.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "graph/aligned.h"
#include "graph/plan.h"
#include "graph/thread_pool.h"
#include "kernels/kernels.h"

namespace s2bnn {

// What one thread may scribble on.
struct Scratch {
  uint16_t* sums;  // a tile each, but slots: as many as the steps' programs need
  float* made;
  float* slots;
};

// A step with its weights, ready to run.
class Runner {
 public:
  virtual ~Runner() = default;

  // The addresses of all tensors for the coming run.
  virtual void bind(void* const* memory) = 0;

  // A phase starts when the one before is finished.
  virtual int phases() const { return 1; }
  // One chunk of a phase, out of `chunks`. Threads may run different ones at once.
  virtual void run(int phase, int chunk, int chunks, const Scratch& scratch) = 0;
};

struct StepProfile {
  std::string name;  // the root and what follows it, "LceBconv2d+ADD+PRELU"
  Shape shape;
  double binary_macs = 0;  // of one run
  double seconds = 0;      // of all runs
  int64_t runs = 0;
};

class Executor {
 public:
  // `kernels` null: the reference for the custom ops. Shapes must be inferred. The partition must outlive this.
  Executor(const Partition& partition, const Kernels* kernels, bool fuse, int threads, bool profile);
  ~Executor();

  // `memory`: an address for each tensor of the partition that is an input or an output of it.
  void run(const std::vector<void*>& memory);

  size_t arena_bytes() const { return plan_.arena_size; }
  const std::vector<StepProfile>& profile() const { return profile_; }

 private:
  void run_thread(int thread);

  Plan plan_;
  AlignedVector<uint8_t> arena_;
  std::vector<std::unique_ptr<Runner>> runners_;
  std::vector<void*> memory_;  // per tensor, for the current run
  ThreadPool pool_;
  std::deque<Pass> passes_;  // of all runners, phase by phase
  std::function<void(int)> task_;
  std::vector<AlignedVector<uint8_t>> scratch_;
  size_t largest_tile_count_ = 1;
  bool profiling_;
  std::vector<StepProfile> profile_;
};

}  // namespace s2bnn
