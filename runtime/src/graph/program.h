// A step's program as the kernels run it.
#pragma once

#include <vector>

#include "graph/aligned.h"
#include "kernels/kernels.h"

namespace s2bnn {

// The plan's instructions name tiles; the kernels know one value that stays in registers (kernels/tile_program.h). Whatever
// another instruction than the next one reads is saved to a slot, and loaded from there.
class BoundProgram {
 public:
  // `root`: the operation that makes tile 0.
  BoundProgram(TileOp root, const Step& step, const Partition& partition, const Kernels& kernels);

  // The addresses of all tensors for the coming run.
  void bind(void* const* memory);

  void run(const TilePosition& position, const TileMemory& memory) const {
    kernels_.run(ops_.data(), ops_.size(), position, memory);
  }

 private:
  void add(TileOp op, int tensor, const Partition& partition);
  void add_slot_op(Instruction::Code code, int slot);

  const Kernels& kernels_;
  const int widening_;
  std::vector<AlignedVector<float>> vectors_;  // per instruction
  std::vector<TileOp> ops_;
  std::vector<int> tensors_;  // per op: what it reads or writes in memory, or -1
};

bool reads_second_tile(Instruction::Code code);
bool uses_memory(Instruction::Code code);

}  // namespace s2bnn
