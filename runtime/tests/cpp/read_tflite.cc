#include "read_tflite.h"

#include "host/flatbuffer.h"

namespace {

using s2bnn::FlatFile;
using s2bnn::FlatTable;

constexpr size_t kMaxCount = 4096;  // tensors, nodes, inputs of a node

MiniTensor read_tensor(const FlatTable& table, const std::vector<FlatTable>& buffers) {
  MiniTensor tensor;
  tensor.shape = table.vector<int32_t>(0);
  const int type = table.scalar<int8_t>(1);
  tensor.type =
      type == 0 ? int{kTfLiteFloat32} : type;  // the other types have the same numbers in C
  const uint32_t buffer = table.scalar<uint32_t>(2);
  if (buffer < buffers.size() && buffers[buffer].has(0)) {
    tensor.data = buffers[buffer].vector<uint8_t>(0);
    tensor.is_constant = !tensor.data.empty();
  }
  if (!table.has(4)) return tensor;
  const FlatTable quantization = table.table(4);
  const auto scale = quantization.vector<float>(2);
  const auto zero_point = quantization.vector<int64_t>(3);
  if (!scale.empty()) tensor.scale = scale[0];
  if (!zero_point.empty()) tensor.zero_point = static_cast<int>(zero_point[0]);
  return tensor;
}

std::vector<int> read_builtin_options(int code, const FlatTable& options) {
  switch (code) {
    case kTfLiteBuiltinAdd:
    case kTfLiteBuiltinSub:
    case kTfLiteBuiltinMul: return {options.scalar<int8_t>(0)};
    case kTfLiteBuiltinConcatenation:
      return {options.scalar<int32_t>(0), options.scalar<int8_t>(1)};
    case kTfLiteBuiltinConv2d:
      return {options.scalar<int8_t>(0) + 1,  // padding is counted from 1 in C
              options.scalar<int32_t>(1),    options.scalar<int32_t>(2),
              options.scalar<int8_t>(3),     options.scalar<int32_t>(4, 1),
              options.scalar<int32_t>(5, 1)};
    case kTfLiteBuiltinAveragePool2d:
    case kTfLiteBuiltinMaxPool2d:
      return {options.scalar<int8_t>(0) + 1, options.scalar<int32_t>(1), options.scalar<int32_t>(2),
              options.scalar<int32_t>(3),    options.scalar<int32_t>(4), options.scalar<int8_t>(5)};
    default: return {};
  }
}

MiniNode read_node(const FlatTable& table, const std::vector<FlatTable>& codes) {
  MiniNode node;
  const uint32_t code = table.scalar<uint32_t>(0);
  if (code >= codes.size()) throw s2bnn::Error("an operator has no code");
  const int32_t old_code = codes[code].scalar<int8_t>(0);
  const int32_t new_code = codes[code].scalar<int32_t>(3);
  node.builtin_code = old_code > new_code ? old_code : new_code;
  const auto name = codes[code].vector<char>(1);
  node.custom_name.assign(name.begin(), name.end());
  node.inputs = table.vector<int32_t>(1);
  node.outputs = table.vector<int32_t>(2);
  if (node.inputs.size() > kMaxCount || node.outputs.size() > kMaxCount) {
    throw s2bnn::Error("too many inputs or outputs");
  }
  if (table.has(4)) node.builtin_options = read_builtin_options(node.builtin_code, table.table(4));
  node.custom_options = table.vector<uint8_t>(5);
  return node;
}

}  // namespace

MiniModel read_tflite(const uint8_t* data, size_t size) {
  const FlatFile file = {data, size};
  const FlatTable model(file, file.follow(0));
  const auto codes = model.tables(1);
  const auto graphs = model.tables(2);
  const auto buffers = model.tables(4);
  if (graphs.empty()) throw s2bnn::Error("no graph");
  MiniModel result;
  for (const FlatTable& tensor : graphs[0].tables(0)) {
    result.tensors.push_back(read_tensor(tensor, buffers));
  }
  for (const FlatTable& node : graphs[0].tables(3)) result.nodes.push_back(read_node(node, codes));
  result.inputs = graphs[0].vector<int32_t>(1);
  result.outputs = graphs[0].vector<int32_t>(2);
  return result;
}
