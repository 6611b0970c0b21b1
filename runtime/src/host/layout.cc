#include "host/layout.h"

#include <string>

#include "base/error.h"

namespace s2bnn {
namespace {

constexpr size_t kMaxTensors = 1 << 24;
constexpr int kMaxRank = 64;
constexpr int kMaxType = 64;        // TFLite has 20 tensor types
constexpr int kMaxOperator = 1024;  // and 210 operators
constexpr uintptr_t kLowestAddress = 4096;

void expect(bool condition, const char* what) {
  if (condition) return;
  throw Error(std::string("this TFLite host lays out ") + what +
              " differently from the hosts that s2bnn_runtime knows; please report its version");
}

bool is_address(const void* pointer) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  return address >= kLowestAddress && address % alignof(int) == 0;
}

bool is_function(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) >= kLowestAddress;
}

template <class Function>
bool is_set(Function function) {
  return is_function(reinterpret_cast<const void*>(function));
}

void check_context(const TfLiteContext& context) {
  expect(context.tensors_size <= kMaxTensors, "TfLiteContext");
  expect(context.tensors_size == 0 || is_address(context.tensors), "TfLiteContext");
  expect(is_set(context.GetExecutionPlan) && is_set(context.ResizeTensor) &&
             is_set(context.ReportError) && is_set(context.GetNodeAndRegistration) &&
             is_set(context.ReplaceNodeSubsetsWithDelegateKernels),
         "TfLiteContext");
  expect(context.recommended_num_threads >= -1 && context.recommended_num_threads <= 1 << 16,
         "TfLiteContext");
}

// An array of tensors with a stride other than 112 bytes shows in the second tensor's fields at the
// latest.
void check_tensor(const TfLiteTensor& tensor) {
  expect(tensor.type >= 0 && tensor.type <= kMaxType, "TfLiteTensor");
  expect(tensor.allocation_type >= 0 && tensor.allocation_type <= kTfLiteLastAllocationType,
         "TfLiteTensor");
  expect(tensor.dims == nullptr || is_address(tensor.dims), "TfLiteTensor");
  expect(tensor.name == nullptr || is_function(tensor.name), "TfLiteTensor");
  if (tensor.dims != nullptr) {
    expect(tensor.dims->size >= 0 && tensor.dims->size <= kMaxRank, "TfLiteTensor");
  }
}

void check_indices(const TfLiteIntArray* indices, size_t tensors) {
  expect(indices == nullptr || is_address(indices), "TfLiteNode");
  if (indices == nullptr) return;
  expect(indices->size >= 0 && static_cast<size_t>(indices->size) <= kMaxTensors, "TfLiteNode");
  for (int i = 0; i < indices->size; ++i) {
    const int index = indices->data[i];
    expect(index >= kTfLiteOptionalTensor && index < static_cast<int>(tensors), "TfLiteNode");
  }
}

void check_node(TfLiteContext* context, int index) {
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  require(context->GetNodeAndRegistration(context, index, &node, &registration) == kTfLiteOk,
          "the host does not report its nodes");
  expect(is_address(node) && is_address(registration), "TfLiteNode");
  check_indices(node->inputs, context->tensors_size);
  check_indices(node->outputs, context->tensors_size);
  expect(node->custom_initial_data_size >= 0, "TfLiteNode");
  expect(registration->builtin_code >= 0 && registration->builtin_code <= kMaxOperator,
         "TfLiteRegistration");
  expect(registration->custom_name == nullptr || is_function(registration->custom_name),
         "TfLiteRegistration");
}

}  // namespace

void check_layout(TfLiteContext* context) {
  require(context != nullptr, "the host passed no context");
  check_context(*context);
  for (size_t i = 0; i < context->tensors_size; ++i) check_tensor(context->tensors[i]);
  TfLiteIntArray* plan = nullptr;
  require(context->GetExecutionPlan(context, &plan) == kTfLiteOk && plan != nullptr,
          "the host does not report its execution plan");
  expect(plan->size >= 0 && static_cast<size_t>(plan->size) <= kMaxTensors, "the execution plan");
  for (int i = 0; i < plan->size; ++i) check_node(context, plan->data[i]);
}

}  // namespace s2bnn
