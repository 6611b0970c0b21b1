// Runs a plan. All memory is allocated once, when the executor is made; a run allocates nothing.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "plan/plan.h"
#include "run/runners.h"
#include "run/thread_pool.h"

namespace s2bnn {

struct StepProfile {
  std::string name;  // the root and the program, "LceBconv2d+ADD+PRELU"
  Shape shape;
  double binary_macs = 0;  // of one run
  double seconds = 0;      // of all runs
  int64_t runs = 0;
};

class Executor {
 public:
  // If `kernels` is null, the reference runs the custom ops. Shapes must be inferred, and the
  // partition must outlive the executor.
  Executor(const Partition& partition, const Kernels* kernels, bool fuse, int threads,
           bool profile);
  ~Executor();

  // `memory` holds an address for each tensor that is an input or an output of the partition.
  void run(const std::vector<void*>& memory);

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
  std::vector<AlignedVector<uint8_t>> scratch_;  // per thread
  size_t largest_tile_count_ = 1;
  bool profiling_;
  std::vector<StepProfile> profile_;
};

}  // namespace s2bnn
