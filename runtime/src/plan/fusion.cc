#include "plan/fusion.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "base/error.h"

namespace s2bnn {
namespace {

using Code = Instruction::Code;

// The channels of a constant operand that a step needs. A single value serves all channels.
std::vector<float> slice(const Tensor& constant, int offset, int channels) {
  const float* data = static_cast<const float*>(constant.constant);
  if (element_count(constant.shape) == 1) return std::vector<float>(channels, data[0]);
  return std::vector<float>(data + offset, data + offset + channels);
}

Code vector_code(OpKind kind) {
  if (kind == OpKind::kPrelu) return Code::kPrelu;
  return kind == OpKind::kMul ? Code::kMulVector : Code::kAddVector;
}

Code tensor_code(OpKind kind, bool swapped) {
  if (kind == OpKind::kSub) return swapped ? Code::kSubFromTensor : Code::kSubTensor;
  return kind == OpKind::kMul ? Code::kMulTensor : Code::kAddTensor;
}

Code tile_code(OpKind kind) {
  if (kind == OpKind::kSub) return Code::kSubTile;
  return kind == OpKind::kMul ? Code::kMulTile : Code::kAddTile;
}

}  // namespace

std::vector<Step> Fusion::run() {
  for (size_t i = 0; i < partition_.ops.size(); ++i) assign(static_cast<int>(i));
  for (int output : partition_.outputs) values_[output].read_from_memory = true;
  add_stores();
  return ordered();
}

void Fusion::assign(int op_index) {
  const Op& op = partition_.ops[op_index];
  if (needs_reference_(op, partition_)) {
    assign_root(op_index, Step::Root::kPlain);
  } else if (op.kind == OpKind::kBconv) {
    assign_root(op_index, Step::Root::kBconv);
  } else if (op.kind == OpKind::kConv) {
    assign_root(op_index, Step::Root::kConv);
  } else if (op.kind == OpKind::kAveragePool) {
    if (!absorb_pooling(op)) assign_root(op_index, Step::Root::kAveragePool);
  } else if (op.kind == OpKind::kMean) {
    assign_root(op_index, Step::Root::kAveragePool);
  } else if (op.kind == OpKind::kMaxPool) {
    assign_root(op_index, Step::Root::kMaxPool);
  } else if (op.kind == OpKind::kConcat) {
    assign_concat(op_index);
  } else if (op.kind == OpKind::kQuantize) {
    assign_quantize(op_index);
  } else {
    assign_elementwise(op_index);
  }
}

void Fusion::assign_root(int op_index, Step::Root root) {
  const Op& op = partition_.ops[op_index];
  const Tensor& output = partition_.tensors[op.output];
  Shape shape = output.shape;
  if (op.kind == OpKind::kMean) shape = {shape.front(), 1, 1, shape.back()};
  if (op.kind == OpKind::kBconv) shape.back() = partition_.tensors[op.inputs[1]].shape[0];
  const int step = add_step(root, op_index, op.inputs[0], shape);
  values_[op.output].producers = {step};
  if (root == Step::Root::kPlain) {
    steps_[step].writes.insert(op.output);
  } else if (output.type != DataType::kFloat32) {
    // A convolution whose tile 0 has to be rounded, or whose signs have to be taken.
    Instruction finish;
    finish.code = output.type == DataType::kInt8 ? Code::kStoreInt8 : Code::kQuantize;
    finish.other = op.output;
    append(step, finish);
    steps_[step].writes.insert(op.output);
  } else {
    // A binary convolution clamps its integer sums itself. All other roots leave their activation
    // to the program.
    const Activation activation = op.kind == OpKind::kBconv ? Activation::kNone : op.activation;
    make_in_tiles(op.output, {{step, append_activation(step, 0, activation), 0}});
  }
}

void Fusion::assign_concat(int op_index) {
  const Op& op = partition_.ops[op_index];
  Placement joined;
  int offset = 0;
  for (int x : op.inputs) {
    const bool in_tiles = fuse_ && !values_[x].placements.empty();
    const Placement placement = in_tiles ? values_[x].placements.front() : load(op_index, x);
    for (const Home& home : placement) {
      const int tile = append_activation(home.step, home.tile, op.activation);
      joined.push_back({home.step, tile, home.channel_offset + offset});
    }
    offset += partition_.tensors[x].shape.back();
  }
  make_in_tiles(op.output, joined);
  // Networks that double their channels repeat a map, which need not be stored twice.
  const auto is_first = [&](int input) { return input == op.inputs[0]; };
  const bool repeats = std::all_of(op.inputs.begin(), op.inputs.end(), is_first);
  const bool whole_words = partition_.tensors[op.inputs[0]].shape.back() % 32 == 0;
  if (fuse_ && repeats && whole_words && op.activation == Activation::kNone) {
    values_[op.output].repeated = in_memory(op.inputs[0]);
  }
}

void Fusion::assign_elementwise(int op_index) {
  const Op& op = partition_.ops[op_index];
  const bool two_maps = op.inputs.size() > 1 &&
                        partition_.tensors[op.inputs[1]].constant == nullptr &&
                        !is_gate(op.inputs[1], op.inputs[0], partition_);
  for (int operand = 0; fuse_ && operand < (two_maps ? 2 : 1); ++operand) {
    // A copy, because absorbing changes the list.
    const std::vector<Placement> placements = values_[op.inputs[operand]].placements;
    for (const Placement& placement : placements) {
      if (absorb(op, operand, placement)) return;
    }
  }
  require(absorb(op, 0, load(op_index, op.inputs[0])), "an op cannot be planned");
}

void Fusion::assign_quantize(int op_index) {
  const Op& op = partition_.ops[op_index];
  const std::vector<Placement> placements = values_[op.inputs[0]].placements;
  for (size_t i = 0; fuse_ && i < placements.size(); ++i) {
    if (absorb_quantize(op, placements[i])) return;
  }
  require(absorb_quantize(op, load(op_index, op.inputs[0])), "an op cannot be planned");
}

bool Fusion::absorb(const Op& op, int operand, const Placement& placement) {
  const int other = op.inputs.size() > 1 ? op.inputs[1 - operand] : -1;
  const bool reads_map = other >= 0 && partition_.tensors[other].constant == nullptr;
  for (const Home& home : placement) {
    if (!reads_map || home_beside(other, home) != nullptr) continue;
    for (int producer : values_[other].producers) {
      if (producer == home.step || depends(producer, home.step)) return false;
    }
  }
  Placement result;
  for (const Home& home : placement) {
    int tile = home.tile;
    if (op.kind != OpKind::kClamp) {
      if (reads_map && home_beside(other, home) == nullptr) {
        read_memory(in_memory(other), home.step);
      }
      tile = append(home.step, instruction_for(op, operand, home));
    }
    result.push_back(
        {home.step, append_activation(home.step, tile, op.activation), home.channel_offset});
  }
  make_in_tiles(op.output, result);
  return true;
}

Instruction Fusion::instruction_for(const Op& op, int operand, const Home& home) const {
  Instruction instruction;
  instruction.source = home.tile;
  instruction.channel_offset = home.channel_offset;
  if (op.kind == OpKind::kLogistic) {
    instruction.code = Code::kLogistic;
    return instruction;
  }
  const int other = op.inputs[1 - operand];
  const Tensor& other_tensor = partition_.tensors[other];
  if (other_tensor.constant != nullptr) {
    instruction.code = vector_code(op.kind);
    instruction.vector = slice(other_tensor, home.channel_offset, steps_[home.step].shape.back());
    if (op.kind == OpKind::kSub) {  // x - c equals x + (-c) to the bit
      for (float& value : instruction.vector) value = -value;
    }
  } else if (const Home* beside = home_beside(other, home)) {
    instruction.code = tile_code(op.kind);
    instruction.other = beside->tile;
    if (operand == 1) std::swap(instruction.source, instruction.other);
  } else {
    instruction.code = tensor_code(op.kind, operand == 1);
    if (is_gate(other, op.inputs[0], partition_)) {
      instruction.code = Code::kMulGate;
      const Shape& map = partition_.tensors[op.inputs[0]].shape;
      instruction.image_pixels = map[1] * map[2];
    }
    instruction.other = in_memory(other);
    if (instruction.other != other) {
      instruction.period = partition_.tensors[instruction.other].shape.back();
    }
  }
  return instruction;
}

// Takes the means of 2x2 pixels of a convolution while its tiles are there. A large map then need
// not be read again, and often not even be stored.
bool Fusion::absorb_pooling(const Op& op) {
  const Window& w = op.window;
  const std::vector<Placement>& placements = values_[op.inputs[0]].placements;
  if (!fuse_ || placements.empty() || placements[0].size() != 1 ||
      op.activation != Activation::kNone)
    return false;
  if (w.filter_height != 2 || w.filter_width != 2 || w.stride_height != 2 || w.stride_width != 2) {
    return false;
  }
  const Home home = placements[0][0];
  Step& step = steps_[home.step];
  if (step.root != Step::Root::kBconv) return false;
  if (step.shape[1] % 2 != 0 || step.shape[2] % 4 != 0 || step.shape[3] % 32 != 0) return false;
  step.patches = true;
  Instruction instruction;
  instruction.code = Code::kStorePooled;
  instruction.source = home.tile;
  instruction.other = op.output;
  instruction.channel_offset = home.channel_offset;
  insert_behind(home.step, home.tile, instruction);
  step.writes.insert(op.output);
  values_[op.output].producers.insert(home.step);
  return true;
}

bool Fusion::absorb_quantize(const Op& op, const Placement& placement) {
  for (const Home& home : placement) {
    if (home.channel_offset % 32 != 0) return false;  // a word would belong to two steps
  }
  for (const Home& home : placement) {
    Instruction instruction;
    instruction.code = Code::kQuantize;
    instruction.source = home.tile;
    instruction.other = op.output;
    instruction.channel_offset = home.channel_offset;
    append(home.step, instruction);
    steps_[home.step].writes.insert(op.output);
    values_[op.output].producers.insert(home.step);
  }
  return true;
}

// Starts a step that reads `tensor` from memory. Later ops on the tensor may join it.
Fusion::Placement Fusion::load(int op_index, int tensor) {
  const Placement placement = {
      {add_step(Step::Root::kLoad, op_index, tensor, partition_.tensors[tensor].shape), 0, 0}};
  values_[tensor].placements.push_back(placement);
  return placement;
}

int Fusion::add_step(Step::Root root, int op_index, int input, const Shape& shape) {
  Step step;
  step.root = root;
  step.op = op_index;
  step.input = input;
  step.shape = shape;
  steps_.push_back(step);
  waits_for_.emplace_back();
  const int index = static_cast<int>(steps_.size()) - 1;
  read_memory(input, index);
  return index;
}

int Fusion::append(int step, Instruction instruction) {
  if (!writes_memory(instruction.code)) instruction.destination = steps_[step].tiles++;
  steps_[step].program.push_back(instruction);
  return instruction.destination;
}

int Fusion::append_activation(int step, int tile, Activation activation) {
  if (activation == Activation::kNone) return tile;
  Instruction instruction;
  instruction.code = Code::kClamp;
  instruction.source = tile;
  instruction.low = activation == Activation::kReluN1To1 ? -1.f : 0.f;
  instruction.high = 1.f;
  if (activation == Activation::kRelu) instruction.high = std::numeric_limits<float>::infinity();
  if (activation == Activation::kRelu6) instruction.high = 6.f;
  return append(step, instruction);
}

void Fusion::read_memory(int tensor, int step) {
  values_[tensor].read_from_memory = true;
  steps_[step].reads.insert(tensor);
  waits_for_[step].insert(values_[tensor].producers.begin(), values_[tensor].producers.end());
}

void Fusion::make_in_tiles(int tensor, const Placement& placement) {
  Value& value = values_[tensor];
  value.made_in_tiles = true;
  value.placements = {placement};
  for (const Home& home : placement) value.producers.insert(home.step);
}

bool Fusion::depends(int step, int on) const {
  std::vector<bool> seen(steps_.size());
  std::vector<int> open = {step};
  while (!open.empty()) {
    const int current = open.back();
    open.pop_back();
    if (current == on) return true;
    for (int next : waits_for_[current]) {
      if (!seen[next]) open.push_back(next);
      seen[next] = true;
    }
  }
  return false;
}

// Finds the tile in which the same step holds the same channels of another tensor; null if there is
// none.
const Fusion::Home* Fusion::home_beside(int tensor, const Home& home) const {
  for (const Placement& placement : values_[tensor].placements) {
    for (const Home& other : placement) {
      if (other.step == home.step && other.channel_offset == home.channel_offset) return &other;
    }
  }
  return nullptr;
}

// Inserts the instruction as soon as the tile is there, so that the tile need not be kept for it.
void Fusion::insert_behind(int step, int tile, const Instruction& instruction) {
  std::vector<Instruction>& program = steps_[step].program;
  auto position = program.begin();
  while (tile != 0 && position != program.end() && position->destination != tile) ++position;
  program.insert(tile == 0 ? position : position + 1, instruction);
}

void Fusion::add_stores() {
  for (size_t tensor = 0; tensor < values_.size(); ++tensor) {
    const Value& value = values_[tensor];
    if (!value.made_in_tiles || !value.read_from_memory) continue;
    for (const Home& home : value.placements.front()) {
      Instruction store;
      store.code = Code::kStore;
      store.source = home.tile;
      store.other = static_cast<int>(tensor);
      store.channel_offset = home.channel_offset;
      insert_behind(home.step, home.tile, store);
      steps_[home.step].writes.insert(static_cast<int>(tensor));
    }
  }
}

std::vector<Step> Fusion::ordered() {
  // Among the steps that may run, the first of the model does.
  using Entry = std::pair<int, int>;  // op, step
  std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> ready;
  std::vector<size_t> missing(steps_.size());
  std::vector<std::vector<int>> followers(steps_.size());
  for (size_t i = 0; i < steps_.size(); ++i) {
    waits_for_[i].erase(static_cast<int>(i));
    missing[i] = waits_for_[i].size();
    for (int before : waits_for_[i]) followers[before].push_back(static_cast<int>(i));
    if (missing[i] == 0) ready.push({steps_[i].op, static_cast<int>(i)});
  }
  std::vector<Step> result;
  while (!ready.empty()) {
    const int step = ready.top().second;
    ready.pop();
    result.push_back(steps_[step]);
    for (int follower : followers[step]) {
      if (--missing[follower] == 0) ready.push({steps_[follower].op, follower});
    }
  }
  require(result.size() == steps_.size(), "the steps of a partition wait for each other");
  return result;
}

}  // namespace s2bnn
