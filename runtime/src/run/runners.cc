#include "run/runners.h"

#include <algorithm>

#include "kernels/float_conv.h"
#include "kernels/reference.h"
#include "kernels/tiled_bconv.h"
#include "run/program.h"

namespace s2bnn {
namespace {

// A chunk's share of `count` pieces of work. The pieces are neighbors, because those share memory.
struct Share {
  Share(size_t count, int chunk, int chunks)
      : first(count * chunk / chunks), last(count * (chunk + 1) / chunks) {}
  size_t first, last;
};

// The tiles of a map: kMaxTilePixels pixels each, and in the last one those that remain; or patches
// of two rows by four columns.
class Tiles {
 public:
  explicit Tiles(const Step& step)
      : count((pixel_count(step.shape) + kMaxTilePixels - 1) / kMaxTilePixels),
        pixels_(pixel_count(step.shape)) {
    if (step.patches) patch_width_ = step.shape[2];
  }

  // The position of tile i. The caller fills in the channels.
  TilePosition operator[](size_t i) const {
    if (patch_width_ > 0) {
      const uint32_t patches = patch_width_ / 4;  // in a row
      const uint32_t row = static_cast<uint32_t>(i) / patches,
                     column = static_cast<uint32_t>(i) - row * patches;
      return {
          size_t{2} * row * patch_width_ + 4 * column, kMaxTilePixels, patch_width_ - 4, i, 0, 0};
    }
    const size_t first = i * kMaxTilePixels;
    return {first, static_cast<int>(std::min<size_t>(kMaxTilePixels, pixels_ - first)), 0, 0, 0, 0};
  }

  const size_t count;

 private:
  const size_t pixels_;
  uint32_t patch_width_ = 0;  // of the map; 0 if there are no patches
};

class BconvRunner : public Runner {
 public:
  BconvRunner(const Step& step, const Partition& partition, const Kernels& kernels)
      : input_(step.input),
        tiles_(step),
        bconv_(partition.ops[step.op], partition, kernels),
        program_(root(), step, partition, kernels) {}

  void bind(void* const* memory) override {
    bits_ = static_cast<const uint32_t*>(memory[input_]);
    program_.bind(memory);
  }

  int phases() const override { return 2; }

  void run(int phase, int chunk, int chunks, const Scratch& scratch) override {
    if (phase == 0) {
      const Share share(bconv_.input_rows(), chunk, chunks);
      bconv_.prepare_rows(bits_, static_cast<int>(share.first), static_cast<int>(share.last));
      return;
    }
    // A chunk is a part of the tiles, so that a thread finds in its own cache what it made in the
    // step before. If there are too few tiles, a chunk is a part of their blocks.
    const size_t blocks = bconv_.blocks();
    const bool few_tiles = tiles_.count < 2 * static_cast<size_t>(chunks);
    const Share tiles = few_tiles ? Share(tiles_.count, 0, 1) : Share(tiles_.count, chunk, chunks);
    const size_t count = tiles.last - tiles.first;
    const Share share =
        few_tiles ? Share(count * blocks, chunk, chunks) : Share(count * blocks, 0, 1);
    // If the weights do not fit into the cache, one block runs over all tiles; if they do, all
    // blocks run over one tile.
    const bool keep_weights = bconv_.weight_bytes() > kCachedWeightBytes;
    for (size_t i = share.first; i < share.last; ++i) {
      const size_t tile = tiles.first + (keep_weights ? i % count : i / blocks);
      const size_t block = keep_weights ? i / count : i % blocks;
      run_tile(tiles_[tile], static_cast<int>(block), scratch);
    }
  }

 private:
  static constexpr size_t kCachedWeightBytes = 128 << 10;

  TileOp root() const {
    TileOp op = {};
    op.code = bconv_.compares() ? Instruction::Code::kCompareSums : Instruction::Code::kScaleSums;
    op.scale = &bconv_.scale();
    return op;
  }

  void run_tile(TilePosition position, int block, const Scratch& scratch) const {
    position.channel = bconv_.first_channel(block);
    position.channels = bconv_.channels(block);
    const TiledBconv::Place place = bconv_.locate(position);
    bconv_.accumulate(place, position.pixels, block, scratch.sums);
    program_.run(position, {scratch.sums, place.corrected ? place.corrections : nullptr, nullptr,
                            scratch.slots});
  }

  const int input_;
  const Tiles tiles_;
  TiledBconv bconv_;
  BoundProgram program_;
  const uint32_t* bits_ = nullptr;
};

// Makes tiles from memory, as they are or pooled.
class MapRunner : public Runner {
 public:
  MapRunner(const Step& step, const Partition& partition, const Kernels& kernels)
      : kernels_(kernels),
        input_(step.input),
        pools_(step.root != Step::Root::kLoad),
        tiles_(step),
        channels_(step.shape.back()),
        window_(window_of(partition.ops[step.op], partition)),
        program_(root(pools_), step, partition, kernels) {
    if (!pools_) return;
    const Shape& shape = partition.tensors[step.input].shape;
    pool_.height = shape[1];
    pool_.width = shape[2];
    pool_.channels = shape[3];
    pool_.output_height = step.shape[1];
    pool_.output_width = step.shape[2];
    pool_.padding_top =
        slide(shape[1], window_.filter_height, window_.stride_height, 1, window_.same_padding)
            .padding;
    pool_.padding_left =
        slide(shape[2], window_.filter_width, window_.stride_width, 1, window_.same_padding)
            .padding;
    pool_.window = &window_;
    pool_.average = step.root == Step::Root::kAveragePool;
  }

  void bind(void* const* memory) override {
    pool_.data = static_cast<const float*>(memory[input_]);
    program_.bind(memory);
  }

  void run(int, int chunk, int chunks, const Scratch& scratch) override {
    const Share share(tiles_.count, chunk, chunks);
    for (size_t i = share.first; i < share.last; ++i) {
      TilePosition position = tiles_[i];
      for (; position.channel < channels_; position.channel += kernels_.block) {
        position.channels = std::min(kernels_.block, channels_ - position.channel);
        if (pools_) kernels_.pool(pool_, position, scratch.made);
        program_.run(position, {nullptr, nullptr, scratch.made, scratch.slots});
      }
    }
  }

 private:
  static Window window_of(const Op& op, const Partition& partition) {
    if (op.kind != OpKind::kMean) return op.window;
    Window whole;
    whole.filter_height = partition.tensors[op.inputs[0]].shape[1];
    whole.filter_width = partition.tensors[op.inputs[0]].shape[2];
    return whole;
  }

  static TileOp root(bool pools) {
    TileOp op = {};
    op.code = pools ? Instruction::Code::kTakeMade : Instruction::Code::kLoadTensor;
    return op;
  }

  const Kernels& kernels_;
  const int input_;
  const bool pools_;
  const Tiles tiles_;
  const int channels_;
  const Window window_;
  PoolInput pool_ = {};
  BoundProgram program_;
};

class ConvRunner : public Runner {
 public:
  ConvRunner(const Step& step, const Partition& partition, const Kernels& kernels)
      : kernels_(kernels),
        input_(step.input),
        tiles_(step),
        channels_(step.shape.back()),
        conv_(partition.ops[step.op], partition, kernels),
        program_(root(), step, partition, kernels) {}

  void bind(void* const* memory) override {
    source_ = static_cast<const float*>(memory[input_]);
    program_.bind(memory);
  }

  int phases() const override { return 2; }

  void run(int phase, int chunk, int chunks, const Scratch& scratch) override {
    if (phase == 0) {
      const Share share(conv_.input_rows(), chunk, chunks);
      return conv_.prepare_rows(source_, static_cast<int>(share.first),
                                static_cast<int>(share.last));
    }
    const Share share(tiles_.count, chunk, chunks);
    for (size_t i = share.first; i < share.last; ++i) {
      TilePosition position = tiles_[i];
      for (; position.channel < channels_; position.channel += kernels_.block) {
        position.channels = std::min(kernels_.block, channels_ - position.channel);
        conv_.compute(position, scratch.made);
        program_.run(position, {nullptr, nullptr, scratch.made, scratch.slots});
      }
    }
  }

 private:
  static TileOp root() {
    TileOp op = {};
    op.code = Instruction::Code::kTakeMade;
    return op;
  }

  const Kernels& kernels_;
  const int input_;
  const Tiles tiles_;
  const int channels_;
  FloatConv conv_;
  BoundProgram program_;
  const float* source_ = nullptr;
};

class ReferenceRunner : public Runner {
 public:
  ReferenceRunner(const Op& op, const Partition& partition)
      : reference_(op, partition), pixels_(pixel_count(partition.tensors[op.output].shape)) {}

  void bind(void* const* memory) override { memory_ = memory; }

  void run(int, int chunk, int chunks, const Scratch&) override {
    const Share share(pixels_, chunk, chunks);
    reference_.run(memory_, share.first, share.last);
  }

 private:
  const Reference reference_;
  const size_t pixels_;
  void* const* memory_ = nullptr;
};

}  // namespace

std::unique_ptr<Runner> make_runner(const Step& step, const Partition& partition,
                                    const Kernels& kernels) {
  switch (step.root) {
    case Step::Root::kBconv: return std::make_unique<BconvRunner>(step, partition, kernels);
    case Step::Root::kConv: return std::make_unique<ConvRunner>(step, partition, kernels);
    case Step::Root::kPlain:
      return std::make_unique<ReferenceRunner>(partition.ops[step.op], partition);
    default: return std::make_unique<MapRunner>(step, partition, kernels);
  }
}

}  // namespace s2bnn
