#include "read_tflite.h"

#include <cstring>

namespace {

constexpr size_t kMaxCount = 4096;  // tensors, nodes, inputs of a node

struct File {
  const uint8_t* data;
  size_t size;

  template <class T>
  T at(size_t position) const {
    if (position > size || sizeof(T) > size - position) {
      throw BadFile("an offset points outside of the file");
    }
    T value;
    std::memcpy(&value, data + position, sizeof(T));
    return value;
  }
  size_t follow(size_t position) const { return position + at<uint32_t>(position); }
};

// A flatbuffer table. Fields are found through a table of offsets, which has 0 for an absent field.
// Their numbers are those of schema.fbs.
class Table {
 public:
  Table(const File& file, size_t position) : file_(file), position_(position) {
    vtable_ = position - static_cast<size_t>(int64_t{file.at<int32_t>(position)});
    vtable_size_ = file.at<uint16_t>(vtable_);
  }

  size_t field(int index) const {
    const size_t entry = 4 + 2 * static_cast<size_t>(index);
    if (entry + 2 > vtable_size_) return 0;
    const uint16_t offset = file_.at<uint16_t>(vtable_ + entry);
    return offset == 0 ? 0 : position_ + offset;
  }

  template <class T>
  T scalar(int index, T otherwise = 0) const {
    const size_t where = field(index);
    return where == 0 ? otherwise : file_.at<T>(where);
  }

  // Elements of a vector of scalars or bytes.
  template <class T>
  std::vector<T> vector(int index) const {
    const size_t where = field(index);
    if (where == 0) return {};
    const size_t start = file_.follow(where);
    const size_t count = file_.at<uint32_t>(start);
    if (count > file_.size / sizeof(T)) throw BadFile("a vector is longer than the file");
    if (count > 0) file_.at<T>(start + 4 + (count - 1) * sizeof(T));
    std::vector<T> result(count);
    if (count > 0) std::memcpy(result.data(), file_.data + start + 4, count * sizeof(T));
    return result;
  }

  std::vector<Table> tables(int index) const {
    const size_t where = field(index);
    if (where == 0) return {};
    const size_t start = file_.follow(where);
    const size_t count = file_.at<uint32_t>(start);
    if (count > kMaxCount) throw BadFile("too many tables");
    std::vector<Table> result;
    for (size_t i = 0; i < count; ++i) result.emplace_back(file_, file_.follow(start + 4 + 4 * i));
    return result;
  }

  bool has(int index) const { return field(index) != 0; }
  Table table(int index) const { return Table(file_, file_.follow(field(index))); }

 private:
  File file_;
  size_t position_, vtable_;
  size_t vtable_size_;
};

MiniTensor read_tensor(const Table& table, const std::vector<Table>& buffers) {
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
  const Table quantization = table.table(4);
  const auto scale = quantization.vector<float>(2);
  const auto zero_point = quantization.vector<int64_t>(3);
  if (!scale.empty()) tensor.scale = scale[0];
  if (!zero_point.empty()) tensor.zero_point = static_cast<int>(zero_point[0]);
  return tensor;
}

std::vector<int> read_builtin_options(int code, const Table& options) {
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

MiniNode read_node(const Table& table, const std::vector<Table>& codes) {
  MiniNode node;
  const uint32_t code = table.scalar<uint32_t>(0);
  if (code >= codes.size()) throw BadFile("an operator has no code");
  const int32_t old_code = codes[code].scalar<int8_t>(0);
  const int32_t new_code = codes[code].scalar<int32_t>(3);
  node.builtin_code = old_code > new_code ? old_code : new_code;
  const auto name = codes[code].vector<char>(1);
  node.custom_name.assign(name.begin(), name.end());
  node.inputs = table.vector<int32_t>(1);
  node.outputs = table.vector<int32_t>(2);
  if (node.inputs.size() > kMaxCount || node.outputs.size() > kMaxCount) {
    throw BadFile("too many inputs or outputs");
  }
  if (table.has(4)) node.builtin_options = read_builtin_options(node.builtin_code, table.table(4));
  node.custom_options = table.vector<uint8_t>(5);
  return node;
}

}  // namespace

MiniModel read_tflite(const uint8_t* data, size_t size) {
  const File file = {data, size};
  const Table model(file, file.follow(0));
  const auto codes = model.tables(1);
  const auto graphs = model.tables(2);
  const auto buffers = model.tables(4);
  if (graphs.empty()) throw BadFile("no graph");
  MiniModel result;
  for (const Table& tensor : graphs[0].tables(0)) {
    result.tensors.push_back(read_tensor(tensor, buffers));
  }
  for (const Table& node : graphs[0].tables(3)) result.nodes.push_back(read_node(node, codes));
  result.inputs = graphs[0].vector<int32_t>(1);
  result.outputs = graphs[0].vector<int32_t>(2);
  return result;
}
