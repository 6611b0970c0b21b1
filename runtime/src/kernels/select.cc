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
// What the compiler may use in the files for AVX-512 (CMakeLists.txt).
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") > 0 && __builtin_cpu_supports("avx512bw") > 0 && __builtin_cpu_supports("avx512dq") > 0 &&
         __builtin_cpu_supports("avx512vl") > 0;
}
#endif

// Best first.
const Candidate kCandidates[] = {
#if defined(__x86_64__)
    {&kAvx512PopcountKernels, [] { return has_avx512() && __builtin_cpu_supports("avx512vpopcntdq") > 0; }},
    {&kAvx512Kernels, has_avx512},
    {&kAvx2Kernels, [] { return __builtin_cpu_supports("avx2") > 0; }},
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
