// Whole model files, mutated: each is refused with a message, or runs. A model that runs must give
// the same outputs on the portable kernels and on the best ones, on one thread and on two, and, if
// no float operation is left to the host, on the reference.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fuzz.h"
#include "read_tflite.h"
#include "run_model.h"

namespace {

// Limits for work that would only cost time: a model of this many bytes can ask for any amount of
// it.
constexpr double kMaxElements = 1 << 18;
constexpr double kMaxWork = 1 << 20;

double elements(const MiniTensor& tensor) {
  double count = 1;
  for (int size : tensor.shape) count *= size > 0 ? size : 1;
  return count;
}

bool is_custom(const MiniNode& node) { return node.builtin_code == kTfLiteBuiltinCustom; }

bool is_convolution(const MiniNode& node) {
  return is_custom(node) ? node.inputs.size() == 5
                         : node.builtin_code == kTfLiteBuiltinConv2d && node.inputs.size() == 3;
}

bool is_too_large(const MiniModel& model) {
  for (const MiniTensor& tensor : model.tensors) {
    if (elements(tensor) > kMaxElements) return true;
  }
  double total = 0;
  for (const MiniNode& node : model.nodes) {
    if (!is_convolution(node)) continue;
    double work = 1;  // upper bound: its input times its filter
    for (int k = 0; k < 2; ++k) {
      const int i = node.inputs[k];
      if (i >= 0 && static_cast<size_t>(i) < model.tensors.size()) {
        work *= elements(model.tensors[i]);
      }
    }
    total += work;
  }
  return total > kMaxWork;
}

bool all_finite(const MiniModel& model) {
  for (const MiniTensor& tensor : model.tensors) {
    if (tensor.type != kTfLiteFloat32) continue;
    for (size_t i = 0; i + 4 <= tensor.data.size(); i += 4) {
      float value;
      std::memcpy(&value, tensor.data.data() + i, 4);
      if (!(std::fabs(value) < 1e12f)) return false;  // sums and products of these stay finite
    }
  }
  return true;
}

}  // namespace

Outcome fuzz(const uint8_t* data, size_t size) {
  MiniModel model;
  try {
    model = read_tflite(data, size);
  } catch (const s2bnn::Error&) {
    return Outcome::kRefused;
  }
  if (is_too_large(model)) return Outcome::kLeftOut;
  for (MiniTensor& tensor : model.tensors) {
    clear_unused_bits(tensor.type, tensor.shape, tensor.data.data(), tensor.data.size());
  }
  static const Delegate best(""), portable("portable"), reference("reference");
  const RunResult wanted = run_model(model, portable.get, 1);
  const RunResult results[] = {run_model(model, best.get, 1), run_model(model, best.get, 2),
                               run_model(model, reference.get, 1)};
  for (const RunResult& result : results) {
    if (!result.accepted && result.errors.empty()) std::abort();  // refused without a message
  }
  if (!wanted.accepted) return Outcome::kRefused;
  if (!all_finite(model)) return Outcome::kRan;
  const bool all_custom = std::all_of(model.nodes.begin(), model.nodes.end(),
                                      [](const MiniNode& node) { return is_custom(node); });
  for (int i = 0; i < (all_custom ? 3 : 2); ++i) {
    if (!results[i].accepted || results[i].outputs != wanted.outputs) {
      std::fprintf(stderr, "run %d differs from the portable kernels: %s\n", i,
                   results[i].errors.c_str());
      std::abort();
    }
  }
  return Outcome::kRan;
}
