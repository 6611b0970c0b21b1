// Assigns the ops of a partition, in execution order, to steps. See plan.h for what a step is.
#pragma once

#include <vector>

#include "plan/plan.h"

namespace s2bnn {

class Fusion {
 public:
  Fusion(const Partition& partition, bool fuse, NeedsReference needs_reference)
      : partition_(partition),
        fuse_(fuse),
        needs_reference_(needs_reference),
        values_(partition.tensors.size()) {}

  // Returns the steps, in an order in which everything is written before it is read.
  std::vector<Step> run();

 private:
  // A tile of a step that holds channels of a tensor, the first of them being `channel_offset`.
  struct Home {
    int step;
    int tile;
    int channel_offset;
  };
  // Homes that together hold all channels of a tensor: one, or several after a concatenation.
  using Placement = std::vector<Home>;

  struct Value {
    std::vector<Placement>
        placements;  // where it is made, if in tiles, then every load from memory
    bool made_in_tiles = false;
    bool read_from_memory = false;
    int repeated = -1;        // the tensor that this one is a repetition of, or -1
    std::set<int> producers;  // the steps that make it
  };

  void assign(int op_index);
  void assign_root(int op_index, Step::Root root);
  void assign_concat(int op_index);
  void assign_elementwise(int op_index);
  void assign_quantize(int op_index);

  // Joins an op to the steps that hold its operand in tiles. Returns false, with nothing changed,
  // if that is not possible.
  bool absorb(const Op& op, int operand, const Placement& placement);
  bool absorb_pooling(const Op& op);
  bool absorb_quantize(const Op& op, const Placement& placement);
  Instruction instruction_for(const Op& op, int operand, const Home& home) const;

  Placement load(int op_index, int tensor);
  int add_step(Step::Root root, int op_index, int input, const Shape& shape);
  int append(int step, Instruction instruction);
  int append_activation(int step, int tile, Activation activation);
  // The tensor to read from memory for this one.
  int in_memory(int tensor) const {
    return values_[tensor].repeated >= 0 ? values_[tensor].repeated : tensor;
  }
  void read_memory(int tensor, int step);
  void make_in_tiles(int tensor, const Placement& placement);
  bool depends(int step, int on) const;
  const Home* home_beside(int tensor, const Home& home) const;
  void insert_behind(int step, int tile, const Instruction& instruction);
  void add_stores();
  std::vector<Step> ordered();

  const Partition& partition_;
  const bool fuse_;
  const NeedsReference needs_reference_;
  std::vector<Value> values_;  // per tensor
  std::vector<Step> steps_;
  std::vector<std::set<int>> waits_for_;  // per step: steps that must run before it
};

}  // namespace s2bnn
