#include "host/execution_order.h"

#include <string>
#include <vector>

#include "base/error.h"

namespace s2bnn {
namespace {

constexpr int kNobody = -1;
constexpr size_t kMaxNameLength = 64;

struct PlannedNode {
  std::string description;
  const TfLiteIntArray* inputs;
  const TfLiteIntArray* outputs;
};

std::string describe(int index, const TfLiteRegistration& registration) {
  const std::string kind = registration.custom_name != nullptr
                               ? std::string(registration.custom_name).substr(0, kMaxNameLength)
                               : "builtin operator " + std::to_string(registration.builtin_code);
  return "node " + std::to_string(index) + " (" + kind + ")";
}

std::vector<PlannedNode> read_plan(TfLiteContext* context) {
  TfLiteIntArray* plan = nullptr;
  require(context->GetExecutionPlan(context, &plan) == kTfLiteOk && plan != nullptr,
          "the host does not report its execution plan");
  std::vector<PlannedNode> nodes;
  for (int i = 0; i < plan->size; ++i) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    require(context->GetNodeAndRegistration(context, plan->data[i], &node, &registration) ==
                    kTfLiteOk &&
                node != nullptr && registration != nullptr,
            "the host does not report its nodes");
    nodes.push_back({describe(plan->data[i], *registration), node->inputs, node->outputs});
  }
  return nodes;
}

std::string name_of_tensor(int index) { return "tensor " + std::to_string(index); }

// The position in the plan of the node that makes each tensor.
std::vector<int> find_makers(const TfLiteContext& context, const std::vector<PlannedNode>& plan) {
  std::vector<int> makers(context.tensors_size, kNobody);
  for (size_t i = 0; i < plan.size(); ++i) {
    const TfLiteIntArray* outputs = plan[i].outputs;
    for (int k = 0; outputs != nullptr && k < outputs->size; ++k) {
      const int tensor = outputs->data[k];
      if (tensor < 0) throw Error(plan[i].description + " lacks an output");
      if (context.tensors[tensor].allocation_type == kTfLiteMmapRo) {
        throw Error(plan[i].description + " writes " + name_of_tensor(tensor) +
                    ", which is a constant");
      }
      if (makers[tensor] != kNobody) {
        throw Error(plan[i].description + " makes " + name_of_tensor(tensor) + ", which " +
                    plan[makers[tensor]].description + " makes too");
      }
      makers[tensor] = static_cast<int>(i);
    }
  }
  return makers;
}

}  // namespace

void check_execution_order(TfLiteContext* context) {
  const std::vector<PlannedNode> plan = read_plan(context);
  const std::vector<int> makers = find_makers(*context, plan);
  for (size_t i = 0; i < plan.size(); ++i) {
    const TfLiteIntArray* inputs = plan[i].inputs;
    for (int k = 0; inputs != nullptr && k < inputs->size; ++k) {
      const int tensor = inputs->data[k];
      if (tensor < 0 || makers[tensor] < static_cast<int>(i)) continue;
      const bool is_own = makers[tensor] == static_cast<int>(i);
      throw Error(plan[i].description + " reads " + name_of_tensor(tensor) +
                  (is_own ? ", which it makes itself"
                          : " before " + plan[makers[tensor]].description + " makes it"));
    }
  }
}

}  // namespace s2bnn
