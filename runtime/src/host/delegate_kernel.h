// One partition of the graph, as the host sees it: a node that can be prepared and invoked.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "host/read_graph.h"
#include "host/tflite_abi.h"
#include "run/executor.h"

namespace s2bnn {

struct DelegateOptions {
  std::string kernels;  // "" for the best, "reference", or a name of select_kernels()
  bool fuse = true;     // claim float ops between the custom ones and fuse them
  std::string profile;  // collect times under this name; "" for none
};

// Every method throws Error or std::bad_alloc on failure and leaves the object usable. Threads take
// turns.
class DelegateKernel {
 public:
  DelegateKernel(TfLiteContext* context, const TfLiteDelegateParams& params,
                 const DelegateOptions& options);
  ~DelegateKernel();

  void prepare(TfLiteContext* context);
  void invoke(TfLiteContext* context);

  // The profile of the runs since the last prepare(), or nullopt before the first one.
  std::optional<std::vector<StepProfile>> profile() const;

 private:
  void* address_of(TfLiteContext* context, int tensor) const;

  const DelegateOptions options_;
  mutable std::mutex mutex_;  // of everything below
  Partition partition_;
  std::unique_ptr<Executor> executor_;
  std::vector<void*> memory_;  // per tensor
};

// The profiles of all living kernels that collect under `name`, as JSON: a list of partitions, each
// of them a list of steps.
std::string profile_json(const std::string& name);

}  // namespace s2bnn
