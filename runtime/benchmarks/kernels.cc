// Measures how fast the binary convolutions of ReActNet-A at 224 are by themselves, on one thread,
// and how fast this processor could be.
//
//     kernel_benchmark [KERNELS]      prints JSON; KERNELS as for S2BNN_KERNELS, default: the best
//
// The port limit is the rate of three instructions per 512 multiply-adds, exclusive or, count and
// add, on registers alone. It is known only for AVX-512 with VPOPCNTDQ.
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "convolution.h"

namespace {

using namespace s2bnn;

// The time of the fastest of 20 calls, which is what the code can do undisturbed.
template <class Function>
double seconds(Function function) {
  double best = 1e9;
  for (int i = 0; i < 20; ++i) {
    const auto start = std::chrono::steady_clock::now();
    function();
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

#if defined(__x86_64__)
// Eight sums that do not wait for each other, in assembly so that no compiler adds a move.
#define STEP(sum, temporary)                       \
  "vpxord %%zmm16, %%zmm17, %%zmm" #temporary      \
  "\n\t"                                           \
  "vpopcntd %%zmm" #temporary ", %%zmm" #temporary \
  "\n\t"                                           \
  "vpaddd %%zmm" #temporary ", %%zmm" #sum ", %%zmm" #sum "\n\t"

void step_often(long repetitions) {
  asm volatile("1:\n\t" STEP(0, 8) STEP(1, 9) STEP(2, 10) STEP(3, 11) STEP(4, 12) STEP(5, 13)
                   STEP(6, 14) STEP(7, 15) "dec %0\n\tjnz 1b"
               : "+r"(repetitions)
               :
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                 "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

// In multiply-adds per second; 0 if unknown.
double port_limit() {
  if (__builtin_cpu_supports("avx512vpopcntdq") <= 0) return 0;
  constexpr long kRepetitions = 1000000;
  return 8. * 512 * kRepetitions / seconds([] { step_often(kRepetitions); });
}
#else
double port_limit() { return 0; }
#endif

}  // namespace

int main(int argc, char** argv) {
  const Kernels& kernels = select_kernels(argc > 1 ? argv[1] : nullptr);
  double all_macs = 0, all_seconds = 0;
  std::printf("{\"kernels\": \"%s\", \"port_limit_gmacs\": %.0f, \"layers\": [", kernels.name,
              port_limit() / 1e9);
  for (const Layer& layer : kLayers) {
    Convolution convolution(layer);
    convolution.prepare(kernels);
    const double time = seconds([&] { convolution.run(); });
    all_macs += layer.count * convolution.macs();
    all_seconds += layer.count * time;
    std::printf(
        "%s\n  {\"input\": [%d, %d, %d], \"channels_out\": %d, \"filter\": %d, \"stride\": %d, "
        "\"count\": %d, \"microseconds\": %.1f, \"gmacs\": %.0f}",
        &layer == kLayers ? "" : ",", layer.size, layer.size, layer.channels_in, layer.channels_out,
        layer.filter, layer.stride, layer.count, 1e6 * time, convolution.macs() / time / 1e9);
  }
  std::printf("],\n \"gmacs\": %.0f}\n", all_macs / all_seconds / 1e9);
}
