#include "run/program.h"

namespace s2bnn {
namespace {

using Code = Instruction::Code;

// Finds the tiles that have to be saved when they are made: entry 0 is for the root's tile, entry i
// + 1 for that of instruction i. A tile's number may be given to another tile once it is no longer
// needed.
std::vector<bool> find_saved(const Step& step) {
  std::vector<bool> saved(step.program.size() + 1, false);
  std::vector<size_t> maker(step.tiles, 0);
  int current = 0;
  for (size_t i = 0; i < step.program.size(); ++i) {
    const Instruction& instruction = step.program[i];
    if (instruction.source != current) saved[maker[instruction.source]] = true;
    if (reads_second_tile(instruction.code)) saved[maker[instruction.other]] = true;
    current = instruction.source;
    if (instruction.destination < 0) continue;
    current = instruction.destination;
    maker[current] = i + 1;
  }
  return saved;
}

}  // namespace

BoundProgram::BoundProgram(TileOp root, const Step& step, const Partition& partition,
                           const Kernels& kernels)
    : kernels_(kernels), widening_(step.widening) {
  const std::vector<bool> saved = find_saved(step);
  int current = 0;
  add(root, root.code == Code::kLoadTensor ? step.input : -1, partition);
  if (saved[0]) add_slot_op(Code::kSaveTile, 0);
  for (size_t i = 0; i < step.program.size(); ++i) {
    const Instruction& instruction = step.program[i];
    if (instruction.source != current) add_slot_op(Code::kLoadTile, instruction.source);
    current = instruction.source;
    vectors_.emplace_back(instruction.vector.begin(), instruction.vector.end());
    // Kernels read to the end of the last block, which may start at any channel of a concatenation.
    if (!instruction.vector.empty()) vectors_.back().resize(step.shape.back() + kMaxBlock, 0.f);
    TileOp op = {};
    op.code = instruction.code;
    op.vector = vectors_.back().data();
    op.slot = instruction.other;
    op.channel_offset = instruction.channel_offset;
    op.period = instruction.period;
    op.image_pixels = instruction.image_pixels;
    op.low = instruction.low;
    op.high = instruction.high;
    add(op, uses_memory(op.code) ? instruction.other : -1, partition);
    if (instruction.destination < 0) continue;
    current = instruction.destination;
    if (saved[i + 1]) add_slot_op(Code::kSaveTile, current);
  }
}

void BoundProgram::bind(void* const* memory) {
  for (size_t i = 0; i < ops_.size(); ++i) {
    if (tensors_[i] >= 0) ops_[i].memory = memory[tensors_[i]];
  }
}

void BoundProgram::add(TileOp op, int tensor, const Partition& partition) {
  if (tensor >= 0) {
    op.pixel_stride = static_cast<size_t>(partition.tensors[tensor].shape.back()) * widening_;
  }
  ops_.push_back(op);
  tensors_.push_back(tensor);
}

void BoundProgram::add_slot_op(Code code, int slot) {
  TileOp op = {};
  op.code = code;
  op.slot = slot;
  ops_.push_back(op);
  tensors_.push_back(-1);
}

}  // namespace s2bnn
