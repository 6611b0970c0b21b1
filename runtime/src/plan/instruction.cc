#include "plan/instruction.h"

#include <iterator>

namespace s2bnn {

using Code = Instruction::Code;

const char* name_of(Code code) {
  static const char* const names[] = {
      "+BIAS",    "+SCALE", "+PRELU",       "+CLAMP",     "+LOGISTIC",  "+ADD",
      "+SUB",     "+MUL",   "+SUB",         "+GATE",      "+ADD",       "+SUB",
      "+MUL",     "+STORE", "+POOL",        "+STORE",     "+QUANTIZE",  "+SCALE_SUMS",
      "+COMPARE", "+TAKE",  "+LOAD_TENSOR", "+LOAD_TILE", "+SAVE_TILE",
  };
  static_assert(std::size(names) == Instruction::kCodes, "every code has a name");
  return names[static_cast<int>(code)];
}

bool reads_second_tile(Code code) {
  return code == Code::kAddTile || code == Code::kSubTile || code == Code::kMulTile;
}

bool writes_memory(Code code) {
  return code == Code::kStore || code == Code::kStorePooled || code == Code::kStoreInt8 ||
         code == Code::kQuantize;
}

bool uses_memory(Code code) {
  return writes_memory(code) || code == Code::kAddTensor || code == Code::kSubTensor ||
         code == Code::kMulTensor || code == Code::kSubFromTensor || code == Code::kMulGate;
}

}  // namespace s2bnn
