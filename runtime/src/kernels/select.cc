#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <string>

#include "graph/error.h"
#include "kernels/kernels.h"

namespace s2bnn {
namespace {

struct Candidate {
  const Kernels* kernels;
  bool (*supported)();
};

#if defined(__x86_64__)
// Asked here and not by __builtin_cpu_supports: Zig's runtime library, which the wheels are linked with, answers no to everything.
// Bit numbers are those of Intel's manual, volume 2, CPUID.
struct Processor {
  unsigned leaf1_ecx = 0, leaf7_ebx = 0, leaf7_ecx = 0, saved_state = 0;

  Processor() {
    unsigned eax, ebx, edx;
    if (__get_cpuid(1, &eax, &ebx, &leaf1_ecx, &edx) == 0) return;
    if (__get_cpuid_count(7, 0, &eax, &leaf7_ebx, &leaf7_ecx, &edx) == 0) return;
    if ((leaf1_ecx >> 27 & 1) == 0) return;  // OSXSAVE: xgetbv exists
    asm("xgetbv" : "=a"(saved_state), "=d"(edx) : "c"(0));
  }

  // Both the processor and the operating system have to know the registers.
  bool has_avx2() const { return (saved_state & 0x6) == 0x6 && (leaf7_ebx >> 5 & 1) != 0; }

  // What the compiler may use in the files for AVX-512 (CMakeLists.txt): F, DQ, BW and VL.
  bool has_avx512() const {
    constexpr unsigned kNeeded = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    return has_avx2() && (saved_state & 0xe0) == 0xe0 && (leaf7_ebx & kNeeded) == kNeeded;
  }
  bool has_avx512_popcount() const { return has_avx512() && (leaf7_ecx >> 14 & 1) != 0; }
};
#endif

// Best first.
const Candidate kCandidates[] = {
#if defined(__x86_64__)
    {&kAvx512PopcountKernels, [] { return Processor().has_avx512_popcount(); }},
    {&kAvx512Kernels, [] { return Processor().has_avx512(); }},
    {&kAvx2Kernels, [] { return Processor().has_avx2(); }},
#elif defined(__aarch64__)
    {&kNeonKernels, [] { return true; }},  // part of the base instruction set
#endif
    {&kPortableKernels, [] { return true; }},
};

}  // namespace

const Kernels& select_kernels(const char* name) {
  std::string known;
  for (const Candidate& candidate : kCandidates) {
    const bool wanted = name == nullptr || std::string(name) == candidate.kernels->name;
    if (wanted && candidate.supported()) return *candidate.kernels;
    known += std::string(known.empty() ? "" : ", ") + candidate.kernels->name;
  }
  throw Error("there are no kernels '" + std::string(name) + "' for this processor; this build has: " + known + ", reference");
}

}  // namespace s2bnn
