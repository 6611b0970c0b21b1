// Runs a fuzzer's corpus once, without libFuzzer.
#include <cstdio>

#include "run_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto paths = files_in(argv[1]);
  for (const std::string& path : paths) {
    const auto content = read_file(path);
    LLVMFuzzerTestOneInput(content.data(), content.size());
  }
  std::printf("%zu files\n", paths.size());
  return paths.empty() ? 1 : 0;
}
