// A step's program in the form in which the kernels run it.
#pragma once

#include <vector>

#include "base/aligned.h"
#include "kernels/kernels.h"
#include "plan/plan.h"

namespace s2bnn {

// The plan's instructions name tiles, while the kernels know one value that stays in registers
// (kernels/tile_program.h). A value that is read by another instruction than the next one is saved
// to a slot, and loaded from there.
class BoundProgram {
 public:
  // `root` is the operation that makes tile 0.
  BoundProgram(TileOp root, const Step& step, const Partition& partition, const Kernels& kernels);

  // Takes the addresses of all tensors for the coming run.
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
  std::vector<int> tensors_;  // per op: the tensor that it reads or writes in memory, or -1
};

}  // namespace s2bnn
