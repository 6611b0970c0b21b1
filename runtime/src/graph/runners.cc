#include "graph/runners.h"

#include <algorithm>

#include "kernels/reference.h"
#include "kernels/tiled_bconv.h"

namespace s2bnn {
namespace {

// A thread's share of `count` pieces of work: neighbours, since they share memory.
struct Share {
  Share(size_t count, int thread, int threads) : first(count * thread / threads), last(count * (thread + 1) / threads) {}
  size_t first, last;
};

// Near-equal tiles make the best of a width: 14 is 7 + 7, not 8 + 6.
struct Tiling {
  Tiling(size_t width, size_t largest) : width(width), count((width + largest - 1) / largest) {}
  size_t start(size_t i) const { return width * i / count; }
  size_t width, count;
};

// A step's program with the addresses of its operands.
class BoundProgram {
 public:
  BoundProgram(const Step& step, const Partition& partition, const Kernels& kernels) : kernels_(kernels) {
    // Vectors are read to the end of the last block, of which a concatenation's channels may be any.
    const size_t padded = step.shape.back() + kMaxBlock;
    for (const Instruction& instruction : step.program) {
      vectors_.push_back(instruction.vector);
      if (!instruction.vector.empty()) vectors_.back().resize(padded, 0.f);
    }
    for (size_t i = 0; i < step.program.size(); ++i) {
      const Instruction& instruction = step.program[i];
      TileOp op = {};
      op.code = instruction.code;
      op.source = instruction.source;
      op.destination = instruction.destination;
      op.other = instruction.other;
      op.channel_offset = instruction.channel_offset;
      op.vector = vectors_[i].data();
      op.low = instruction.low;
      op.high = instruction.high;
      tensors_.push_back(uses_memory(instruction.code) ? instruction.other : -1);
      if (tensors_.back() >= 0) op.pixel_stride = partition.tensors[instruction.other].shape.back();
      ops_.push_back(op);
    }
  }

  void bind(void* const* memory) {
    for (size_t i = 0; i < ops_.size(); ++i) {
      if (tensors_[i] >= 0) ops_[i].memory = memory[tensors_[i]];
    }
  }

  void run(const TilePosition& position, float* tiles) const { kernels_.run(ops_.data(), ops_.size(), position, tiles); }

 private:
  static bool uses_memory(Instruction::Code code) {
    using Code = Instruction::Code;
    return code == Code::kAddTensor || code == Code::kSubTensor || code == Code::kMulTensor || code == Code::kSubFromTensor ||
           code == Code::kStore || code == Code::kStoreInt8 || code == Code::kQuantize;
  }

  const Kernels& kernels_;
  std::vector<std::vector<float>> vectors_;  // per instruction
  std::vector<int> tensors_;                 // per instruction: what it reads or writes in memory, or -1
  std::vector<TileOp> ops_;
};

class BconvRunner : public Runner {
 public:
  BconvRunner(const Step& step, const Partition& partition, const Kernels& kernels)
      : input_(step.input), pixels_(kernels.pixels), bconv_(partition.ops[step.op], partition, kernels), program_(step, partition, kernels) {}

  void bind(void* const* memory) override {
    bits_ = static_cast<const uint32_t*>(memory[input_]);
    program_.bind(memory);
  }

  int phases() const override { return 2; }

  void run(int phase, int thread, int threads, const Scratch& scratch) override {
    if (phase == 0) {
      const Share share(bconv_.input_rows(), thread, threads);
      bconv_.prepare_rows(bits_, static_cast<int>(share.first), static_cast<int>(share.last));
      return;
    }
    // One block of weights over all rows where the weights do not fit into the cache, all blocks over one row where they do.
    const size_t rows = bconv_.rows();
    const size_t blocks = bconv_.blocks();
    const bool keep_weights = bconv_.weight_bytes() > kCachedWeightBytes;
    const Share share(rows * blocks, thread, threads);
    for (size_t i = share.first; i < share.last; ++i) {
      const size_t row = keep_weights ? i % rows : i / blocks;
      const size_t block = keep_weights ? i / rows : i % blocks;
      run_row(static_cast<int>(row), static_cast<int>(block), scratch);
    }
  }

 private:
  static constexpr size_t kCachedWeightBytes = 128 << 10;

  void run_row(int row, int block, const Scratch& scratch) const {
    const Tiling tiling(bconv_.width(), pixels_);
    for (size_t i = 0; i < tiling.count; ++i) {
      const int column = static_cast<int>(tiling.start(i));
      const int pixels = static_cast<int>(tiling.start(i + 1)) - column;
      bconv_.make_tile(row, column, pixels, block, scratch.sums, scratch.tiles);
      const size_t pixel = static_cast<size_t>(row) * bconv_.width() + column;
      program_.run({pixel, pixels, bconv_.first_channel(block), bconv_.channels(block)}, scratch.tiles);
    }
  }

  const int input_;
  const int pixels_;
  TiledBconv bconv_;
  BoundProgram program_;
  const uint32_t* bits_ = nullptr;
};

// Tiles that come from memory as they are, or pooled.
class MapRunner : public Runner {
 public:
  MapRunner(const Step& step, const Partition& partition, const Kernels& kernels)
      : kernels_(kernels),
        input_(step.input),
        pools_(step.root != Step::Root::kLoad),
        average_(step.root == Step::Root::kAveragePool),
        input_shape_(partition.tensors[step.input].shape),
        shape_(step.shape),
        window_(partition.ops[step.op].window),
        program_(step, partition, kernels) {
    if (!pools_) {  // rows do not matter: the whole map is one
      shape_ = {1, 1, static_cast<int>(pixel_count(step.shape)), step.shape.back()};
      return;
    }
    padding_top_ = slide(input_shape_[1], window_.filter_height, window_.stride_height, 1, window_.same_padding).padding;
    padding_left_ = slide(input_shape_[2], window_.filter_width, window_.stride_width, 1, window_.same_padding).padding;
  }

  void bind(void* const* memory) override {
    source_ = static_cast<const float*>(memory[input_]);
    program_.bind(memory);
  }

  void run(int, int thread, int threads, const Scratch& scratch) override {
    const Tiling tiling(shape_[2], kMaxTilePixels);
    const Share share(static_cast<size_t>(shape_[0]) * shape_[1] * tiling.count, thread, threads);
    for (size_t i = share.first; i < share.last; ++i) {
      const size_t row = i / tiling.count;
      const int column = static_cast<int>(tiling.start(i % tiling.count));
      const int pixels = static_cast<int>(tiling.start(i % tiling.count + 1)) - column;
      TilePosition position = {row * shape_[2] + column, pixels, 0, 0};
      for (; position.channel < shape_[3]; position.channel += kernels_.block) {
        position.channels = std::min(kernels_.block, shape_[3] - position.channel);
        make_tile(static_cast<int>(row), column, position, scratch.tiles);
        program_.run(position, scratch.tiles);
      }
    }
  }

 private:
  void make_tile(int row, int column, const TilePosition& position, float* tile) const {
    if (!pools_) {
      TileOp source = {};
      source.memory = const_cast<float*>(source_);
      source.pixel_stride = shape_[3];
      return kernels_.load(source, position, tile);
    }
    const size_t image_size = static_cast<size_t>(input_shape_[1]) * input_shape_[2] * input_shape_[3];
    PoolTile pool;
    pool.input = source_ + row / shape_[1] * image_size;
    pool.height = input_shape_[1];
    pool.width = input_shape_[2];
    pool.channels = input_shape_[3];
    pool.row = row % shape_[1] * window_.stride_height - padding_top_;
    pool.column = column * window_.stride_width - padding_left_;
    pool.window = &window_;
    pool.average = average_;
    kernels_.pool(pool, position, tile);
  }

  const Kernels& kernels_;
  const int input_;
  const bool pools_, average_;
  const Shape input_shape_;
  Shape shape_;  // [batch, rows, columns, channels]
  const Window window_;
  BoundProgram program_;
  int padding_top_ = 0, padding_left_ = 0;
  const float* source_ = nullptr;
};

class ReferenceRunner : public Runner {
 public:
  ReferenceRunner(const Op& op, const Partition& partition)
      : reference_(op, partition), pixels_(pixel_count(partition.tensors[op.output].shape)) {}

  void bind(void* const* memory) override { memory_ = memory; }

  void run(int, int thread, int threads, const Scratch&) override {
    const Share share(pixels_, thread, threads);
    reference_.run(memory_, share.first, share.last);
  }

 private:
  const Reference reference_;
  const size_t pixels_;
  void* const* memory_ = nullptr;
};

}  // namespace

std::unique_ptr<Runner> make_runner(const Step& step, const Partition& partition, const Kernels& kernels) {
  switch (step.root) {
    case Step::Root::kBconv: return std::make_unique<BconvRunner>(step, partition, kernels);
    case Step::Root::kPlain: return std::make_unique<ReferenceRunner>(partition.ops[step.op], partition);
    default: return std::make_unique<MapRunner>(step, partition, kernels);
  }
}

}  // namespace s2bnn
