// Which kernels a processor gets: it is asked once, when they are selected.
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <string>

#include "base/error.h"
#include "kernels/kernels.h"

namespace s2bnn {
namespace {

struct Candidate {
  const Kernels* kernels;
  bool (*supported)();
};

#if defined(__x86_64__)
// The processor is asked here and not by __builtin_cpu_supports, because the runtime library of
// Zig, with which the wheels are linked, answers no to every question. The names of the bits come
// from cpuid.h, after Intel's manual, volume 2, CPUID.
struct Processor {
  // Parts of the registers that the operating system saves, by their bits in XCR0.
  static constexpr unsigned kAvxState = 1u << 1 | 1u << 2;               // XMM, upper half of YMM
  static constexpr unsigned kAvx512State = 1u << 5 | 1u << 6 | 1u << 7;  // opmask, upper halves

  unsigned leaf1_ecx = 0, leaf7_ebx = 0, leaf7_ecx = 0, saved_state = 0;

  Processor() {
    unsigned eax, ebx, edx;
    if (__get_cpuid(1, &eax, &ebx, &leaf1_ecx, &edx) == 0) return;
    if (__get_cpuid_count(7, 0, &eax, &leaf7_ebx, &leaf7_ecx, &edx) == 0) return;
    if ((leaf1_ecx & bit_OSXSAVE) == 0) return;  // xgetbv does not exist
    asm("xgetbv" : "=a"(saved_state), "=d"(edx) : "c"(0));
  }

  // Both the processor and the operating system have to know the registers.
  bool has_avx2() const {
    return (saved_state & kAvxState) == kAvxState && (leaf7_ebx & bit_AVX2) != 0;
  }

  // The extensions that the compiler may use in the files for AVX-512: see CMakeLists.txt.
  bool has_avx512() const {
    constexpr unsigned kNeeded = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    return has_avx2() && (saved_state & kAvx512State) == kAvx512State &&
           (leaf7_ebx & kNeeded) == kNeeded;
  }
  bool has_avx512_popcount() const {
    return has_avx512() && (leaf7_ecx & bit_AVX512VPOPCNTDQ) != 0;
  }
};

// Asked once: virtual machines take their time to answer.
const Processor& processor() {
  static const Processor asked;
  return asked;
}
#endif

// The best ones come first.
const Candidate kCandidates[] = {
#if defined(__x86_64__)
    {&kAvx512PopcountKernels, [] { return processor().has_avx512_popcount(); }},
    {&kAvx512Kernels, [] { return processor().has_avx512(); }},
    {&kAvx2Kernels, [] { return processor().has_avx2(); }},
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
  throw Error("there are no kernels '" + std::string(name) +
              "' for this processor; this build has: " + known + ", reference");
}

}  // namespace s2bnn
