// How fast the binary convolutions of ReActNet-A at 224 are by themselves, one thread, and how fast this processor could be.
//
//     kernel_benchmark [KERNELS]      prints JSON; KERNELS as of S2BNN_KERNELS, the best by default
//
// The port limit is what three instructions a 512 multiply-adds, exclusive or, count and add, reach on registers alone. It is known
// for AVX-512 with VPOPCNTDQ only.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "kernels/tiled_bconv.h"

namespace {

using namespace s2bnn;

// Seconds of the fastest of 20 calls: what the code can do, undisturbed.
template <class Function>
double seconds(Function function) {
  double best = 1e9;
  for (int i = 0; i < 20; ++i) {
    const auto start = std::chrono::steady_clock::now();
    function();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

#if defined(__x86_64__)
// Eight sums that do not wait for each other. Written out, so that no compiler adds a move.
#define STEP(sum, temporary)                                     \
  "vpxord %%zmm16, %%zmm17, %%zmm" #temporary "\n\t"             \
  "vpopcntd %%zmm" #temporary ", %%zmm" #temporary "\n\t"        \
  "vpaddd %%zmm" #temporary ", %%zmm" #sum ", %%zmm" #sum "\n\t"

void step_often(long repetitions) {
  asm volatile("1:\n\t" STEP(0, 8) STEP(1, 9) STEP(2, 10) STEP(3, 11) STEP(4, 12) STEP(5, 13) STEP(6, 14) STEP(7, 15)
               "dec %0\n\tjnz 1b"
               : "+r"(repetitions)
               :
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
                 "xmm13", "xmm14", "xmm15");
}

double port_limit() {  // multiply-adds a second; 0 if unknown
  if (__builtin_cpu_supports("avx512vpopcntdq") <= 0) return 0;
  constexpr long kRepetitions = 1000000;
  return 8. * 512 * kRepetitions / seconds([] { step_often(kRepetitions); });
}
#else
double port_limit() { return 0; }
#endif

struct Layer {
  int size, channels_in, channels_out, filter, stride, count;
};

// 3x3 and 1x1 of the 13 blocks. Blocks that double the channels do so by the 1x1.
const Layer kLayers[] = {
    {112, 32, 32, 3, 1, 1},  {112, 32, 64, 1, 1, 1},   {112, 64, 64, 3, 2, 1},   {56, 64, 128, 1, 1, 1},   {56, 128, 128, 3, 1, 1},
    {56, 128, 128, 1, 1, 1}, {56, 128, 128, 3, 2, 1},  {28, 128, 256, 1, 1, 1},  {28, 256, 256, 3, 1, 1},  {28, 256, 256, 1, 1, 1},
    {28, 256, 256, 3, 2, 1}, {14, 256, 512, 1, 1, 1},  {14, 512, 512, 3, 1, 5},  {14, 512, 512, 1, 1, 5},  {14, 512, 512, 3, 2, 1},
    {7, 512, 1024, 1, 1, 1}, {7, 1024, 1024, 3, 1, 1}, {7, 1024, 1024, 1, 1, 1}};

// A convolution of random bits with everything it points to.
class Convolution {
 public:
  explicit Convolution(const Layer& layer) : layer_(layer) {
    std::mt19937 random(1);
    const int words = layer.channels_in / 32;
    const int output = (layer.size + layer.stride - 1) / layer.stride;
    for (std::vector<uint32_t>* bits : {&input_, &filter_}) {
      bits->resize(static_cast<size_t>(bits == &input_ ? layer.size * layer.size : layer.channels_out * layer.filter * layer.filter) * words);
      for (uint32_t& word : *bits) word = static_cast<uint32_t>(random());
    }
    ones_.assign(layer.channels_out, 1.f);
    op_.kind = OpKind::kBconv;
    op_.channels_in = layer.channels_in;
    op_.window = {layer.filter, layer.filter, layer.stride, layer.stride, 1, 1, true};
    op_.inputs = {add(DataType::kBits, {1, layer.size, layer.size, words}, nullptr),
                  add(DataType::kBits, {layer.channels_out, layer.filter, layer.filter, words}, filter_.data()),
                  add(DataType::kFloat32, {layer.channels_out}, ones_.data()), add(DataType::kFloat32, {layer.channels_out}, ones_.data()), -1};
    op_.output = add(DataType::kFloat32, {1, output, output, layer.channels_out}, nullptr);
    macs_ = static_cast<double>(output) * output * layer.channels_out * layer.filter * layer.filter * layer.channels_in;
  }

  double macs() const { return macs_; }

  double measure(const Kernels& kernels) {
    TiledBconv bconv(op_, partition_, kernels);
    AlignedVector<uint16_t> sums(kMaxTilePixels * kMaxBlock);
    return seconds([&] {
      bconv.prepare_rows(input_.data(), 0, layer_.size);
      for (int block = 0; block < bconv.blocks(); ++block) {
        for (size_t pixel = 0; pixel < bconv.pixels(); pixel += kMaxTilePixels) {
          const int pixels = static_cast<int>(std::min<size_t>(kMaxTilePixels, bconv.pixels() - pixel));
          bconv.accumulate(bconv.locate(pixel, pixels), pixels, block, sums.data());
        }
      }
    });
  }

 private:
  int add(DataType type, Shape shape, const void* constant) {
    Tensor tensor;
    tensor.type = type;
    tensor.shape = shape;
    tensor.constant = constant;
    partition_.tensors.push_back(tensor);
    return static_cast<int>(partition_.tensors.size()) - 1;
  }

  const Layer layer_;
  std::vector<uint32_t> input_, filter_;
  std::vector<float> ones_;
  Partition partition_;
  Op op_;
  double macs_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const Kernels& kernels = select_kernels(argc > 1 ? argv[1] : nullptr);
  double all_macs = 0, all_seconds = 0;
  std::printf("{\"kernels\": \"%s\", \"port_limit_gmacs\": %.0f, \"layers\": [", kernels.name, port_limit() / 1e9);
  for (const Layer& layer : kLayers) {
    Convolution convolution(layer);
    const double time = convolution.measure(kernels);
    all_macs += layer.count * convolution.macs();
    all_seconds += layer.count * time;
    std::printf("%s\n  {\"input\": [%d, %d, %d], \"channels_out\": %d, \"filter\": %d, \"stride\": %d, \"count\": %d, \"microseconds\": %.1f, \"gmacs\": %.0f}",
                &layer == kLayers ? "" : ",", layer.size, layer.size, layer.channels_in, layer.channels_out, layer.filter, layer.stride,
                layer.count, 1e6 * time, convolution.macs() / time / 1e9);
  }
  std::printf("],\n \"gmacs\": %.0f}\n", all_macs / all_seconds / 1e9);
}
