#include "host/operators.h"

#include <algorithm>
#include <initializer_list>

#include "host/tflite_abi.h"

namespace s2bnn {
namespace {

constexpr int kOptionsType = 3, kOptions = 4;  // fields of a node
constexpr int kMaxWindowSize = 65535;

bool is_one_of(int code, std::initializer_list<int> codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

// FULLY_CONNECTED, LSTM, RNN, SVDF, the sequence RNNs and LSTMs, and TRANSPOSE_CONV.
bool may_lack_inputs(int code) {
  return code == kTfLiteBuiltinCustom || is_one_of(code, {9, 16, 24, 27, 35, 44, 46, 52, 67});
}

// Operators whose output has the type of their first input. RESHAPE, FAKE_QUANT, MEAN and perhaps
// others write in that type without a look at the output's.
bool keeps_type(int code) {
  return is_one_of(code, {1,  2,  14, 17, 19, 20, 21, 22, 28, 34, 36, 39,  40,
                          43, 45, 60, 65, 69, 70, 74, 80, 81, 82, 89, 100, 105});
}

// A number in the options of a type that must be in [1, 65535].
struct WindowField {
  int options_type, number, otherwise;
  const char* name;
};

constexpr WindowField kWindowFields[] = {
    {1, 1, 0, "stride"},       // Conv2DOptions
    {1, 2, 0, "stride"},       //
    {1, 4, 1, "dilation"},     //
    {1, 5, 1, "dilation"},     //
    {2, 1, 0, "stride"},       // DepthwiseConv2DOptions
    {2, 2, 0, "stride"},       //
    {2, 5, 1, "dilation"},     //
    {2, 6, 1, "dilation"},     //
    {5, 1, 0, "stride"},       // Pool2DOptions
    {5, 2, 0, "stride"},       //
    {5, 3, 0, "filter size"},  //
    {5, 4, 0, "filter size"},  //
    {49, 1, 0, "stride"},      // TransposeConvOptions
    {49, 2, 0, "stride"},      //
};

std::string bad_window(const FlatTable& node) {
  const int type = node.scalar<uint8_t>(kOptionsType);
  for (const WindowField& field : kWindowFields) {
    if (field.options_type != type || !node.has(kOptions)) continue;
    const int value = node.table(kOptions).scalar<int32_t>(field.number, field.otherwise);
    if (value >= 1 && value <= kMaxWindowSize) continue;
    return std::string("has a ") + field.name + " of " + std::to_string(value);
  }
  return {};
}

}  // namespace

std::string fault_of(const FileNode& node, const std::vector<int>& types) {
  for (size_t i = 0; i < node.inputs.size() && !may_lack_inputs(node.builtin_code); ++i) {
    if (node.inputs[i] == kTfLiteOptionalTensor) return "lacks input " + std::to_string(i);
  }
  if (keeps_type(node.builtin_code) && !node.inputs.empty()) {
    for (int output : node.outputs) {
      if (types[output] != types[node.inputs[0]]) return "changes the type of its input";
    }
  }
  return bad_window(node.table);
}

}  // namespace s2bnn
