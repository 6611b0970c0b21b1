// The two functions that a TFLite host looks up in a delegate library, the callbacks behind them,
// and the functions that the Python package calls. No exception may cross into the host from here.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "host/check_file.h"
#include "host/delegate_kernel.h"
#include "host/execution_order.h"
#include "host/layout.h"

#define S2BNN_EXPORT extern "C" __attribute__((visibility("default")))

namespace s2bnn {
namespace {

struct Delegate {
  TfLiteDelegate base;  // must come first: the host holds a pointer to it
  DelegateOptions options;

  // The nodes claimed in each graph that this was applied to. See nodes_to_claim().
  std::mutex mutex;
  std::map<const TfLiteContext*, std::vector<int>> claimed;
};

// Runs `body` and reports the exception that it throws.
template <class Body>
TfLiteStatus guard(TfLiteContext* context, Body body) {
  try {
    body();
    return kTfLiteOk;
  } catch (const std::exception& error) {
    if (context != nullptr && context->ReportError != nullptr) {
      context->ReportError(context, "s2bnn_runtime: %s", error.what());
    }
  }
  return kTfLiteError;
}

void* kernel_init(TfLiteContext* context, const char* buffer, size_t) {
  DelegateKernel* kernel = nullptr;
  guard(context, [&] {
    const auto* params = reinterpret_cast<const TfLiteDelegateParams*>(buffer);
    require(params != nullptr && params->delegate != nullptr, "the host passed no partition");
    const auto* delegate = reinterpret_cast<const Delegate*>(params->delegate);
    kernel = new DelegateKernel(context, *params, delegate->options);
  });
  return kernel;
}

void kernel_free(TfLiteContext*, void* kernel) { delete static_cast<DelegateKernel*>(kernel); }

DelegateKernel& kernel_of(TfLiteNode* node) {
  require(node->user_data != nullptr, "the partition could not be read");
  return *static_cast<DelegateKernel*>(node->user_data);
}

TfLiteStatus kernel_prepare(TfLiteContext* context, TfLiteNode* node) {
  return guard(context, [&] { kernel_of(node).prepare(context); });
}

TfLiteStatus kernel_invoke(TfLiteContext* context, TfLiteNode* node) {
  return guard(context, [&] { kernel_of(node).invoke(context); });
}

// Makes an array in the host's form.
std::unique_ptr<int[]> as_int_array(const std::vector<int>& values) {
  std::unique_ptr<int[]> array(new int[values.size() + 1]);
  array[0] = static_cast<int>(values.size());
  std::copy(values.begin(), values.end(), array.get() + 1);
  return array;
}

// Some hosts remove all delegates when an input is resized, and apply them again. At that time the
// shapes between the nodes are a mixture of old and new ones, useless for a decision, and those
// hosts do not bear a different decision. So the first one is kept.
std::vector<int> nodes_to_claim(TfLiteContext* context, Delegate* delegate) {
  const std::lock_guard<std::mutex> lock(delegate->mutex);
  bool applied_before = false;  // to this graph: an earlier graph may have had the same address
  for (size_t i = 0; i < context->tensors_size; ++i) {
    applied_before |= context->tensors[i].delegate == &delegate->base;
  }
  const auto known = delegate->claimed.find(context);
  if (applied_before && known != delegate->claimed.end()) return known->second;
  const bool fuse = delegate->options.fuse && delegate->options.kernels != "reference";
  return delegate->claimed[context] = claim_nodes(context, fuse);
}

TfLiteStatus delegate_prepare(TfLiteContext* context, TfLiteDelegate* base) {
  return guard(context, [&] {
    check_layout(context);
    check_execution_order(context);
    const std::vector<int> nodes = nodes_to_claim(context, reinterpret_cast<Delegate*>(base));
    TfLiteRegistration registration = {};
    registration.init = kernel_init;
    registration.free = kernel_free;
    registration.prepare = kernel_prepare;
    registration.invoke = kernel_invoke;
    registration.builtin_code = kTfLiteBuiltinDelegate;
    registration.custom_name = "S2bnnRuntime";
    registration.version = 1;
    const auto array = as_int_array(nodes);
    const auto* node_array = reinterpret_cast<const TfLiteIntArray*>(array.get());
    require(context->ReplaceNodeSubsetsWithDelegateKernels(context, registration, node_array,
                                                           base) == kTfLiteOk,
            "the host refuses the partitions");
  });
}

bool read_switch(const std::string& key, const std::string& value) {
  if (value != "0" && value != "1") {
    throw Error("option " + key + " must be 0 or 1, not '" + value + "'");
  }
  return value == "1";
}

void set_option(const std::string& key, const std::string& value, DelegateOptions* options) {
  if (key == "kernels") {
    options->kernels = value;
  } else if (key == "fuse") {
    options->fuse = read_switch(key, value);
  } else if (key == "profile") {
    options->profile = value;
  } else {
    throw Error("unknown option '" + key + "'; the options are kernels, fuse and profile");
  }
}

void read_environment(DelegateOptions* options) {
  if (const char* kernels = std::getenv("S2BNN_KERNELS")) set_option("kernels", kernels, options);
  if (const char* fuse = std::getenv("S2BNN_FUSE")) set_option("fuse", fuse, options);
}

Delegate* create(const char* const* keys, const char* const* values, size_t count) {
  auto delegate = std::make_unique<Delegate>();
  delegate->base = {};
  delegate->base.Prepare = delegate_prepare;
  delegate->base.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  read_environment(&delegate->options);
  for (size_t i = 0; i < count; ++i) {
    require(keys != nullptr && values != nullptr && keys[i] != nullptr && values[i] != nullptr,
            "an option is null");
    set_option(keys[i], values[i], &delegate->options);
  }
  const std::string& kernels = delegate->options.kernels;
  if (!kernels.empty() && kernels != "reference") {
    select_kernels(kernels.c_str());  // throws early if there are none
  }
  return delegate.release();
}

}  // namespace
}  // namespace s2bnn

S2BNN_EXPORT TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys,
                                                           const char* const* values, size_t count,
                                                           void (*report_error)(const char*)) {
  try {
    return &s2bnn::create(keys, values, count)->base;
  } catch (const std::exception& error) {
    const std::string message = std::string("s2bnn_runtime: ") + error.what();
    if (report_error != nullptr) report_error(message.c_str());
  }
  return nullptr;
}

S2BNN_EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) {
  delete reinterpret_cast<s2bnn::Delegate*>(delegate);
}

// Checks a whole .tflite before a host opens it, see check_file.h. Returns true if it is good; else
// writes what is wrong with it, or as much of that as fits.
S2BNN_EXPORT bool s2bnn_runtime_check_file(const void* data, size_t size, char* message,
                                           size_t message_size) {
  try {
    s2bnn::check_file(static_cast<const uint8_t*>(data), size);
    return true;
  } catch (const std::exception& error) {
    if (message != nullptr && message_size > 0) {
      std::snprintf(message, message_size, "%s", error.what());
    }
    return false;
  }
}

// The name of the kernels that this processor gets.
S2BNN_EXPORT const char* s2bnn_runtime_kernels() { return s2bnn::select_kernels().name; }

// Finds the `wanted` of `count` codes of `words` times 64 bits that differ least from the query,
// and all that are as near as the last of these, by the kernels of a name or, without one, by the
// best; see nearest_codes.h. Returns how many, or -1 if there are no such kernels or too little
// memory.
S2BNN_EXPORT int64_t s2bnn_runtime_nearest(const char* kernels, const void* codes, size_t count,
                                           size_t words, const void* query, size_t wanted,
                                           int64_t* rows, uint32_t* distances) {
  try {
    return static_cast<int64_t>(s2bnn::select_kernels(kernels).find_nearest(
        static_cast<const uint8_t*>(codes), count, words, static_cast<const uint8_t*>(query),
        wanted, rows, distances));
  } catch (const std::exception&) {
    return -1;
  }
}

// Writes the profile collected under `name`, as JSON, and returns its length. If that is not less
// than `size`, the text was cut.
S2BNN_EXPORT size_t s2bnn_runtime_profile(const char* name, char* buffer, size_t size) {
  try {
    const std::string json = s2bnn::profile_json(name);
    if (size > 0) {
      const size_t copied = std::min(json.size(), size - 1);
      std::memcpy(buffer, json.data(), copied);
      buffer[copied] = 0;
    }
    return json.size();
  } catch (const std::exception&) {
    return 0;
  }
}
