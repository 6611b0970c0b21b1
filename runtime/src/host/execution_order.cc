#include "host/execution_order.h"

#include "base/error.h"

namespace s2bnn {
namespace {

constexpr int kNobody = -1;
constexpr size_t kMaxNameLength = 64;

std::string name_of_tensor(int index) { return "tensor " + std::to_string(index); }

const char* in_words(Source source) {
  switch (source) {
    case Source::kConstant: return "a constant";
    case Source::kInput: return "an input of the graph";
    case Source::kVariable: return "a variable";
    default: return nullptr;
  }
}

void check_indices(const OrderedNode& node, size_t tensors) {
  for (int index : node.outputs) {
    if (index == kTfLiteOptionalTensor) throw Error(node.description + " lacks an output");
  }
  for (const auto* indices : {&node.inputs, &node.outputs}) {
    for (int index : *indices) {
      if (index == kTfLiteOptionalTensor) continue;
      if (index < 0 || static_cast<size_t>(index) >= tensors) {
        throw Error(node.description + " uses " + name_of_tensor(index) + " of " +
                    std::to_string(tensors));
      }
    }
  }
}

// The position of the node that makes each tensor.
std::vector<int> find_makers(const std::vector<OrderedNode>& nodes,
                             const std::vector<Source>& sources) {
  std::vector<int> makers(sources.size(), kNobody);
  for (size_t i = 0; i < nodes.size(); ++i) {
    check_indices(nodes[i], sources.size());
    for (int tensor : nodes[i].outputs) {
      if (const char* other = in_words(sources[tensor])) {
        throw Error(nodes[i].description + " writes " + name_of_tensor(tensor) + ", which is " +
                    other);
      }
      if (makers[tensor] != kNobody) {
        throw Error(nodes[i].description + " makes " + name_of_tensor(tensor) + ", which " +
                    nodes[makers[tensor]].description + " makes too");
      }
      makers[tensor] = static_cast<int>(i);
    }
  }
  return makers;
}

std::vector<int> to_vector(const TfLiteIntArray* array) {
  if (array == nullptr) return {};
  return std::vector<int>(array->data, array->data + array->size);
}

}  // namespace

std::string describe_node(int index, int builtin_code, const char* custom_name) {
  const std::string kind = custom_name != nullptr
                               ? std::string(custom_name).substr(0, kMaxNameLength)
                               : "builtin operator " + std::to_string(builtin_code);
  return "node " + std::to_string(index) + " (" + kind + ")";
}

void check_order(const std::vector<OrderedNode>& nodes, const std::vector<Source>& sources) {
  const std::vector<int> makers = find_makers(nodes, sources);
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (int tensor : nodes[i].inputs) {
      if (tensor == kTfLiteOptionalTensor) continue;
      const int maker = makers[tensor];
      if (maker < static_cast<int>(i) &&
          (maker != kNobody || sources[tensor] != Source::kNothing)) {
        continue;
      }
      const std::string what = nodes[i].description + " reads " + name_of_tensor(tensor);
      if (maker == kNobody) throw Error(what + ", which nothing makes");
      if (maker == static_cast<int>(i)) throw Error(what + ", which it makes itself");
      throw Error(what + " before " + nodes[maker].description + " makes it");
    }
  }
}

void check_execution_order(TfLiteContext* context) {
  TfLiteIntArray* plan = nullptr;
  require(context->GetExecutionPlan(context, &plan) == kTfLiteOk && plan != nullptr,
          "the host does not report its execution plan");
  std::vector<OrderedNode> nodes;
  for (int i = 0; i < plan->size; ++i) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    require(context->GetNodeAndRegistration(context, plan->data[i], &node, &registration) ==
                    kTfLiteOk &&
                node != nullptr && registration != nullptr,
            "the host does not report its nodes");
    nodes.push_back(
        {describe_node(plan->data[i], registration->builtin_code, registration->custom_name),
         to_vector(node->inputs), to_vector(node->outputs)});
  }
  std::vector<Source> sources(context->tensors_size, Source::kPerhapsInput);
  for (size_t i = 0; i < sources.size(); ++i) {
    const TfLiteTensor& tensor = context->tensors[i];
    if (tensor.allocation_type == kTfLiteMmapRo) {
      sources[i] = Source::kConstant;
    } else if (tensor.is_variable) {
      sources[i] = Source::kVariable;
    }
  }
  check_order(nodes, sources);
}

}  // namespace s2bnn
