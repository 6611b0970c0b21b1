// Runs a fuzzer's corpus once, without libFuzzer; or, without an argument, the inputs that
// tools/fuzz.py makes.
#include <cstdio>

#include "fuzz.h"
#include "run_model.h"
#include "serve.h"

int main(int argc, char** argv) {
  if (argc == 1) return serve();
  if (argc != 2) return 2;
  const auto paths = files_in(argv[1]);
  for (const std::string& path : paths) {
    const auto content = read_file(path);
    fuzz(content.data(), content.size());
  }
  std::printf("%zu files\n", paths.size());
  return paths.empty() ? 1 : 0;
}
