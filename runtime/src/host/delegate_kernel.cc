#include "host/delegate_kernel.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "base/error.h"

namespace s2bnn {
namespace {

constexpr int kMaxThreads = 256;

// The kernels that collect profiles, in the order of their creation.
std::mutex profiled_mutex;
std::vector<std::pair<std::string, const DelegateKernel*>> profiled;

int thread_count(const TfLiteContext& context) {
  return std::min(std::max(context.recommended_num_threads, 1), kMaxThreads);
}

void resize(TfLiteContext* context, const Tensor& tensor) {
  TfLiteTensor* target = &context->tensors[tensor.host_index];
  const size_t rank = tensor.shape.size();
  // The host takes ownership of the array and frees it.
  auto* dims =
      static_cast<TfLiteIntArray*>(std::malloc(sizeof(TfLiteIntArray) + rank * sizeof(int)));
  require(dims != nullptr, "out of memory");
  dims->size = static_cast<int>(rank);
  std::copy(tensor.shape.begin(), tensor.shape.end(), dims->data);
  require(context->ResizeTensor(context, target, dims) == kTfLiteOk,
          "the host refuses to resize an output");
}

std::string json_of(const StepProfile& step) {
  std::string shape;
  for (int size : step.shape) shape += (shape.empty() ? "" : ", ") + std::to_string(size);
  const double milliseconds =
      step.runs > 0 ? 1e3 * step.seconds / static_cast<double>(step.runs) : 0;
  return "{\"name\": \"" + step.name + "\", \"shape\": [" + shape +
         "], \"binary_macs\": " + std::to_string(step.binary_macs) +
         ", \"runs\": " + std::to_string(step.runs) +
         ", \"milliseconds\": " + std::to_string(milliseconds) + "}";
}

}  // namespace

DelegateKernel::DelegateKernel(TfLiteContext* context, const TfLiteDelegateParams& params,
                               const DelegateOptions& options)
    : options_(options), partition_(read_partition(context, params)) {
  if (options_.profile.empty()) return;
  const std::lock_guard<std::mutex> lock(profiled_mutex);
  profiled.emplace_back(options_.profile, this);
}

DelegateKernel::~DelegateKernel() {
  const std::lock_guard<std::mutex> lock(profiled_mutex);
  const auto is_this = [this](const auto& entry) { return entry.second == this; };
  profiled.erase(std::remove_if(profiled.begin(), profiled.end(), is_this), profiled.end());
}

void DelegateKernel::prepare(TfLiteContext* context) {
  const std::lock_guard<std::mutex> lock(mutex_);
  executor_.reset();
  update_shapes(context, &partition_);
  for (int output : partition_.outputs) resize(context, partition_.tensors[output]);
  const Kernels* kernels = nullptr;
  if (options_.kernels != "reference") {
    kernels = &select_kernels(options_.kernels.empty() ? nullptr : options_.kernels.c_str());
  }
  memory_.assign(partition_.tensors.size(), nullptr);
  for (size_t i = 0; i < memory_.size(); ++i) {
    memory_[i] = const_cast<void*>(partition_.tensors[i].constant);
  }
  executor_ = std::make_unique<Executor>(partition_, kernels, options_.fuse, thread_count(*context),
                                         !options_.profile.empty());
}

// Looked up in each run, because the host may move its tensors between two runs.
void* DelegateKernel::address_of(TfLiteContext* context, int index) const {
  const Tensor& tensor = partition_.tensors[index];
  const TfLiteTensor& source = context->tensors[tensor.host_index];
  require(source.dims != nullptr && source.dims->size == static_cast<int>(tensor.shape.size()) &&
              std::equal(tensor.shape.begin(), tensor.shape.end(), source.dims->data),
          "a tensor was resized after allocate_tensors()");
  const size_t bytes = element_count(tensor.shape) * element_size(tensor.type);
  require(source.data != nullptr && source.bytes >= bytes, "a tensor has no memory");
  return source.data;
}

void DelegateKernel::invoke(TfLiteContext* context) {
  const std::lock_guard<std::mutex> lock(mutex_);
  require(executor_ != nullptr, "invoked before a successful allocate_tensors()");
  for (int input : partition_.inputs) memory_[input] = address_of(context, input);
  for (int output : partition_.outputs) memory_[output] = address_of(context, output);
  executor_->run(memory_);
}

std::optional<std::vector<StepProfile>> DelegateKernel::profile() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (executor_ == nullptr) return std::nullopt;
  return executor_->profile();
}

std::string profile_json(const std::string& name) {
  const std::lock_guard<std::mutex> lock(profiled_mutex);
  std::string partitions;
  for (const auto& [kernel_name, kernel] : profiled) {
    if (kernel_name != name) continue;
    const auto profile = kernel->profile();
    if (!profile) continue;
    std::string steps;
    for (const StepProfile& step : *profile) {
      steps += (steps.empty() ? "" : ", ") + json_of(step);
    }
    partitions += (partitions.empty() ? "[" : ", [") + steps + "]";
  }
  return "[" + partitions + "]";
}

}  // namespace s2bnn
