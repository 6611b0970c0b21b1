#include "host/check_file.h"

#include <algorithm>

#include "base/error.h"
#include "host/execution_order.h"
#include "host/flatbuffer.h"
#include "host/operators.h"
#include "host/verify.h"

namespace s2bnn {
namespace {

// The fields of the tables, by the numbers of schema.fbs.
enum ModelField { kOperatorCodes = 1, kSubgraphs = 2, kBuffers = 4, kMetadata = 6 };
enum CodeField { kOldCode = 0, kCustomName = 1, kNewCode = 3 };
enum GraphField { kTensors = 0, kInputs = 1, kOutputs = 2, kNodes = 3 };
enum TensorField { kShape = 0, kType = 1, kBuffer = 2, kIsVariable = 5 };
enum NodeField { kOpcode = 0, kNodeInputs = 1, kNodeOutputs = 2, kIntermediates = 8 };
constexpr int kBufferData = 0, kMetadataBuffer = 1;

void check_number(int64_t number, size_t count, const std::string& what) {
  if (number >= 0 && static_cast<uint64_t>(number) < count) return;
  throw Error(what + " " + std::to_string(number) + " of " + std::to_string(count));
}

class FileChecker {
 public:
  explicit FileChecker(const FlatTable& model)
      : codes_(model.tables(kOperatorCodes)), graphs_(model.tables(kSubgraphs)) {
    for (const FlatTable& buffer : model.tables(kBuffers)) {
      buffer_sizes_.push_back(buffer.vector_size(kBufferData));
    }
    for (const FlatTable& entry : model.tables(kMetadata)) {
      check_number(entry.scalar<uint32_t>(kMetadataBuffer), buffer_sizes_.size(),
                   "its metadata use buffer");
    }
  }

  void check() const {
    require(!graphs_.empty(), "it contains no graph");
    for (const FlatTable& graph : graphs_) {
      const std::vector<FlatTable> tensors = graph.tables(kTensors);
      std::vector<Source> sources;
      for (const FlatTable& tensor : tensors) sources.push_back(source_of(tensor));
      const auto outputs = graph.vector<int32_t>(kOutputs);
      for (const auto& indices : {graph.vector<int32_t>(kInputs), outputs}) {
        for (int32_t index : indices) check_number(index, tensors.size(), "the graph uses tensor");
      }
      mark_inputs(graph, &sources);
      const std::vector<OrderedNode> nodes = nodes_of(graph, tensors.size());
      check_order(nodes, sources);
      check_outputs(outputs, nodes, sources);
      check_operators(graph, nodes, tensors);
    }
  }

 private:
  Source source_of(const FlatTable& tensor) const {
    const uint32_t buffer = tensor.scalar<uint32_t>(kBuffer);
    check_number(buffer, buffer_sizes_.size(), "a tensor uses buffer");
    if (buffer_sizes_[buffer] > 0) return Source::kConstant;
    if (tensor.scalar<uint8_t>(kIsVariable) != 0) return Source::kVariable;
    const auto shape = tensor.vector<int32_t>(kShape);
    const bool is_empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
    return is_empty ? Source::kPerhapsInput : Source::kNothing;  // empty tensors have no data
  }

  static void mark_inputs(const FlatTable& graph, std::vector<Source>* sources) {
    for (int32_t input : graph.vector<int32_t>(kInputs)) {
      require((*sources)[input] != Source::kConstant, "an input of the graph is a constant");
      (*sources)[input] = Source::kInput;
    }
  }

  int builtin_code(const FlatTable& node) const {
    const uint32_t opcode = node.scalar<uint32_t>(kOpcode);
    check_number(opcode, codes_.size(), "a node has operator");
    const FlatTable& code = codes_[opcode];
    return std::max<int>(code.scalar<int8_t>(kOldCode), code.scalar<int32_t>(kNewCode));
  }

  std::vector<OrderedNode> nodes_of(const FlatTable& graph, size_t tensors) const {
    std::vector<OrderedNode> nodes;
    for (const FlatTable& table : graph.tables(kNodes)) {
      const int builtin = builtin_code(table);
      const auto name = codes_[table.scalar<uint32_t>(kOpcode)].vector<char>(kCustomName);
      const std::string custom_name(name.begin(), name.end());
      const bool is_custom = builtin == kTfLiteBuiltinCustom;
      nodes.push_back({describe_node(static_cast<int>(nodes.size()), builtin,
                                     is_custom ? custom_name.c_str() : nullptr),
                       table.vector<int32_t>(kNodeInputs), table.vector<int32_t>(kNodeOutputs)});
      for (int32_t index : table.vector<int32_t>(kIntermediates)) {
        if (index != kTfLiteOptionalTensor) {
          check_number(index, tensors, nodes.back().description + " uses tensor");
        }
      }
    }
    return nodes;
  }

  static void check_outputs(const std::vector<int32_t>& outputs,
                            const std::vector<OrderedNode>& nodes, std::vector<Source> sources) {
    for (const OrderedNode& node : nodes) {
      for (int tensor : node.outputs) sources[tensor] = Source::kPerhapsInput;
    }
    for (int32_t output : outputs) {
      if (sources[output] == Source::kNothing) {
        throw Error("nothing makes the output tensor " + std::to_string(output));
      }
    }
  }

  void check_operators(const FlatTable& graph, const std::vector<OrderedNode>& nodes,
                       const std::vector<FlatTable>& tensors) const {
    std::vector<int> types;
    for (const FlatTable& tensor : tensors) types.push_back(tensor.scalar<int8_t>(kType));
    const std::vector<FlatTable> tables = graph.tables(kNodes);
    for (size_t i = 0; i < nodes.size(); ++i) {
      const std::string fault =
          fault_of({builtin_code(tables[i]), nodes[i].inputs, nodes[i].outputs, tables[i]}, types);
      if (!fault.empty()) throw Error(nodes[i].description + " " + fault);
    }
  }

  std::vector<FlatTable> codes_, graphs_;
  std::vector<size_t> buffer_sizes_;
};

}  // namespace

void check_file(const uint8_t* data, size_t size) {
  verify_flatbuffer(data, size);
  const FlatFile file = {data, size};
  FileChecker(FlatTable(file, file.follow(0))).check();
}

}  // namespace s2bnn
