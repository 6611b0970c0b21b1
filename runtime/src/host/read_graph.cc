#include "host/read_graph.h"

#include <map>
#include <utility>

#include "base/error.h"

namespace s2bnn {
namespace {

struct HostNode {
  const TfLiteNode* node;
  const TfLiteRegistration* registration;
};

HostNode node_at(TfLiteContext* context, int index) {
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  require(context->GetNodeAndRegistration(context, index, &node, &registration) == kTfLiteOk &&
              node && registration,
          "the host does not report its nodes");
  return {node, registration};
}

// Finds the kind of a custom op by its name, and of a builtin one by its code; false for an op that
// is not ours.
bool find_kind(const TfLiteRegistration& registration, OpKind* kind) {
  static const std::map<std::string, OpKind> custom = {{"LceQuantize", OpKind::kQuantize},
                                                       {"LceDequantize", OpKind::kDequantize},
                                                       {"LceBconv2d", OpKind::kBconv},
                                                       {"LceBMaxPool2d", OpKind::kBMaxPool}};
  static const std::map<int, OpKind> builtin = {{kTfLiteBuiltinAdd, OpKind::kAdd},
                                                {kTfLiteBuiltinSub, OpKind::kSub},
                                                {kTfLiteBuiltinMul, OpKind::kMul},
                                                {kTfLiteBuiltinPrelu, OpKind::kPrelu},
                                                {kTfLiteBuiltinRelu, OpKind::kClamp},
                                                {kTfLiteBuiltinReluN1To1, OpKind::kClamp},
                                                {kTfLiteBuiltinRelu6, OpKind::kClamp},
                                                {kTfLiteBuiltinAveragePool2d, OpKind::kAveragePool},
                                                {kTfLiteBuiltinMaxPool2d, OpKind::kMaxPool},
                                                {kTfLiteBuiltinConcatenation, OpKind::kConcat},
                                                {kTfLiteBuiltinConv2d, OpKind::kConv},
                                                {kTfLiteBuiltinMean, OpKind::kMean},
                                                {kTfLiteBuiltinLogistic, OpKind::kLogistic}};
  if (registration.custom_name != nullptr) {
    const auto found = custom.find(registration.custom_name);
    if (found != custom.end()) *kind = found->second;
    return found != custom.end();
  }
  const auto found = builtin.find(registration.builtin_code);
  if (found != builtin.end()) *kind = found->second;
  return found != builtin.end();
}

Shape shape_of(const TfLiteTensor& tensor) {
  require(tensor.dims != nullptr, "a tensor has no shape");
  return Shape(tensor.dims->data, tensor.dims->data + tensor.dims->size);
}

DataType type_of(const TfLiteTensor& tensor) {
  switch (tensor.type) {
    case kTfLiteFloat32: return DataType::kFloat32;
    case kTfLiteInt32: return DataType::kBits;
    case kTfLiteInt8: return DataType::kInt8;
    case kTfLiteBool: return DataType::kBool;
  }
  throw Error("a tensor is neither float32, int32, int8 nor bool");
}

Tensor read_tensor(const TfLiteContext& context, int index) {
  require(index >= 0 && static_cast<size_t>(index) < context.tensors_size, "a tensor is missing");
  const TfLiteTensor& source = context.tensors[index];
  Tensor tensor;
  tensor.host_index = index;
  tensor.type = type_of(source);
  tensor.shape = shape_of(source);
  tensor.scale = source.params.scale;
  tensor.zero_point = source.params.zero_point;
  if (source.allocation_type != kTfLiteMmapRo) return tensor;
  const size_t bytes = element_count(tensor.shape) * element_size(tensor.type);
  require(source.data != nullptr && source.bytes >= bytes,
          "a constant is shorter than its shape says");
  require(reinterpret_cast<uintptr_t>(source.data) % element_size(tensor.type) == 0,
          "a constant is not aligned");
  tensor.constant = source.data;
  return tensor;
}

Activation read_activation(int activation) {
  require(activation >= kTfLiteActNone && activation <= kTfLiteActRelu6,
          "the activation is not supported");
  return static_cast<Activation>(activation);  // the numbers are the same
}

template <class Params>
const Params& builtin_options(const TfLiteNode& node) {
  require(node.builtin_data != nullptr, "the options are missing");
  return *static_cast<const Params*>(node.builtin_data);
}

void read_builtin_options(const HostNode& host, size_t rank, Op* op) {
  switch (host.registration->builtin_code) {
    case kTfLiteBuiltinRelu: op->activation = Activation::kRelu; break;
    case kTfLiteBuiltinReluN1To1: op->activation = Activation::kReluN1To1; break;
    case kTfLiteBuiltinRelu6: op->activation = Activation::kRelu6; break;
    case kTfLiteBuiltinPrelu:
    case kTfLiteBuiltinMean:
    case kTfLiteBuiltinLogistic: break;
    case kTfLiteBuiltinConcatenation: {
      const auto& params = builtin_options<TfLiteConcatenationParams>(*host.node);
      require(params.axis == -1 || params.axis == static_cast<int>(rank) - 1,
              "the concatenation is not along the channels");
      op->activation = read_activation(params.activation);
      break;
    }
    case kTfLiteBuiltinConv2d: {
      const auto& params = builtin_options<TfLiteConvParams>(*host.node);
      require(params.padding == kTfLitePaddingSame || params.padding == kTfLitePaddingValid,
              "the padding is neither SAME nor VALID");
      op->window = {1,
                    1,
                    params.stride_height,
                    params.stride_width,
                    params.dilation_height_factor,
                    params.dilation_width_factor,
                    params.padding == kTfLitePaddingSame};
      op->activation = read_activation(params.activation);
      break;
    }
    case kTfLiteBuiltinAveragePool2d:
    case kTfLiteBuiltinMaxPool2d: {
      const auto& params = builtin_options<TfLitePoolParams>(*host.node);
      require(params.padding == kTfLitePaddingSame || params.padding == kTfLitePaddingValid,
              "the padding is neither SAME nor VALID");
      op->window = {params.filter_height,
                    params.filter_width,
                    params.stride_height,
                    params.stride_width,
                    1,
                    1,
                    params.padding == kTfLitePaddingSame};
      op->activation = read_activation(params.activation);
      break;
    }
    default:
      op->activation =
          read_activation(builtin_options<TfLiteArithmeticParams>(*host.node).activation);
  }
}

void read_custom_options(const TfLiteNode& node, Op* op) {
  const uint8_t* options = static_cast<const uint8_t*>(node.custom_initial_data);
  const size_t size =
      node.custom_initial_data_size < 0 ? 0 : static_cast<size_t>(node.custom_initial_data_size);
  if (op->kind == OpKind::kBMaxPool) op->window = read_bmaxpool_options(options, size);
  if (op->kind != OpKind::kBconv) return;
  const BconvOptions read = read_bconv_options(options, size);
  op->window = read.window;
  op->channels_in = read.channels_in;
  op->pad_value = read.pad_value;
  op->activation = read.activation;
}

// Collects ops and the tensors that they use.
class PartitionReader {
 public:
  PartitionReader(TfLiteContext* context, Partition* partition)
      : context_(context), partition_(partition) {}

  int tensor(int host_index) {
    const auto found = local_.find(host_index);
    if (found != local_.end()) return found->second;
    partition_->tensors.push_back(read_tensor(*context_, host_index));
    return local_[host_index] = static_cast<int>(partition_->tensors.size()) - 1;
  }

  void op(int node_index) {
    const HostNode host = node_at(context_, node_index);
    Op op;
    require(find_kind(*host.registration, &op.kind), "the op is not supported");
    try {
      read_op(host, &op);
    } catch (const Error& error) {
      throw Error(std::string(name_of(op.kind)) + ": " + error.what());
    }
    partition_->ops.push_back(op);
  }

 private:
  void read_op(const HostNode& host, Op* op) {
    require(host.node->inputs != nullptr && host.node->inputs->size > 0, "no inputs");
    require(host.node->outputs != nullptr && host.node->outputs->size == 1,
            "not exactly one output");
    const TfLiteIntArray& inputs = *host.node->inputs;
    for (int i = 0; i < inputs.size; ++i) {
      op->inputs.push_back(inputs.data[i] == kTfLiteOptionalTensor ? -1 : tensor(inputs.data[i]));
    }
    op->output = tensor(host.node->outputs->data[0]);
    require(op->inputs[0] >= 0, "the first input is missing");
    if (is_custom(op->kind)) {
      read_custom_options(*host.node, op);
    } else {
      read_builtin_options(host, partition_->tensors[op->inputs[0]].shape.size(), op);
    }
    if (op->kind == OpKind::kBconv) {
      require(op->inputs.size() == 5 && op->inputs[1] >= 0, "not five inputs");
    }
    if (op->kind == OpKind::kConv) {
      require(op->inputs.size() == 3 && op->inputs[1] >= 0, "not three inputs");
    }
    if (op->kind == OpKind::kBconv || op->kind == OpKind::kConv) read_filter_size(op);
    const bool commutes = op->kind == OpKind::kAdd || op->kind == OpKind::kMul;
    if (!commutes || op->inputs.size() != 2 || op->inputs[1] < 0) return;
    const bool constant_first = partition_->tensors[op->inputs[0]].constant != nullptr;
    if (constant_first || is_gate(op->inputs[0], op->inputs[1], *partition_)) {
      std::swap(op->inputs[0], op->inputs[1]);
    }
  }

  void read_filter_size(Op* op) {
    const Shape& shape = partition_->tensors[op->inputs[1]].shape;
    require(shape.size() == 4, "the filter must have four dimensions");
    op->window.filter_height = shape[1];
    op->window.filter_width = shape[2];
  }

  TfLiteContext* context_;
  Partition* partition_;
  std::map<int, int> local_;  // host tensor -> tensor of the partition
};

// Checks that the host made the partition in the order of the plan, which has passed
// check_execution_order(): every tensor has at most one maker and is not used before it is made.
void check_order(const Partition& partition) {
  enum State { kUnknown, kReady };
  std::vector<State> state(partition.tensors.size(), kUnknown);
  for (int i : partition.inputs) state[i] = kReady;
  for (size_t i = 0; i < state.size(); ++i) {
    if (partition.tensors[i].constant != nullptr) state[i] = kReady;
  }
  for (const Op& op : partition.ops) {
    for (int i : op.inputs) {
      require(i < 0 || state[i] == kReady, "a tensor is used before it is made");
    }
    require(state[op.output] == kUnknown, "a tensor is made twice");
    state[op.output] = kReady;
  }
  for (int i : partition.outputs) require(state[i] == kReady, "an output is never made");
}

// True if a float op can be read, and its shapes, as far as they are known now, suit us.
bool can_run(TfLiteContext* context, int node_index) {
  try {
    Partition partition;
    PartitionReader(context, &partition).op(node_index);
    const Shape declared = partition.tensors[partition.ops[0].output].shape;
    infer_shape(partition.ops[0], &partition);
    return partition.tensors[partition.ops[0].output].shape == declared;
  } catch (const Error&) {
    return false;
  }
}

// Sets of tensors that claimed ops connect, by union-find.
class Islands {
 public:
  int find(int tensor) {
    int root = tensor;
    while (parent_.count(root) != 0 && parent_[root] != root) root = parent_[root];
    return parent_[tensor] = root;
  }
  void join(int a, int b) { parent_[find(a)] = find(b); }

 private:
  std::map<int, int> parent_;
};

bool is_variable_tensor(TfLiteContext* context, int index) {
  return index >= 0 && context->tensors[index].allocation_type != kTfLiteMmapRo;
}

}  // namespace

std::vector<int> claim_nodes(TfLiteContext* context, bool fuse) {
  TfLiteIntArray* plan = nullptr;
  require(context->GetExecutionPlan(context, &plan) == kTfLiteOk && plan != nullptr,
          "the host does not report its execution plan");
  std::vector<int> candidates;
  std::vector<bool> custom;
  Islands islands;
  for (int i = 0; i < plan->size; ++i) {
    const int index = plan->data[i];
    const HostNode host = node_at(context, index);
    OpKind kind;
    if (!find_kind(*host.registration, &kind)) continue;
    if (is_custom(kind)) {
      Partition checked;  // reading throws if the op can never run
      PartitionReader(context, &checked).op(index);
    } else if (!fuse || !can_run(context, index)) {
      continue;
    }
    candidates.push_back(index);
    custom.push_back(is_custom(kind));
    const int output = host.node->outputs->data[0];
    for (int k = 0; k < host.node->inputs->size; ++k) {
      if (is_variable_tensor(context, host.node->inputs->data[k])) {
        islands.join(host.node->inputs->data[k], output);
      }
    }
  }
  std::map<int, bool> has_custom;
  const auto island = [&](int node) {
    return islands.find(node_at(context, node).node->outputs->data[0]);
  };
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (custom[i]) has_custom[island(candidates[i])] = true;
  }
  std::vector<int> claimed;
  for (int node : candidates) {
    if (has_custom.count(island(node)) != 0) claimed.push_back(node);
  }
  return claimed;
}

Partition read_partition(TfLiteContext* context, const TfLiteDelegateParams& params) {
  require(params.nodes_to_replace && params.input_tensors && params.output_tensors,
          "the host passed an empty partition");
  Partition partition;
  PartitionReader reader(context, &partition);
  for (int i = 0; i < params.nodes_to_replace->size; ++i) {
    reader.op(params.nodes_to_replace->data[i]);
  }
  for (int i = 0; i < params.input_tensors->size; ++i) {
    const int index = params.input_tensors->data[i];
    if (!is_variable_tensor(context, index)) continue;
    partition.inputs.push_back(reader.tensor(index));
  }
  for (int i = 0; i < params.output_tensors->size; ++i) {
    partition.outputs.push_back(reader.tensor(params.output_tensors->data[i]));
  }
  check_order(partition);
  return partition;
}

void update_shapes(TfLiteContext* context, Partition* partition) {
  for (int input : partition->inputs) {
    Tensor& tensor = partition->tensors[input];
    tensor.shape = shape_of(context->tensors[tensor.host_index]);
  }
  for (const Op& op : partition->ops) infer_shape(op, partition);
}

}  // namespace s2bnn
