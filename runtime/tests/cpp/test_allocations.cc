// Running a model allocates nothing: all memory is taken when the model is prepared.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "read_tflite.h"
#include "run_model.h"

namespace {

std::atomic<long> allocations{0};

void* allocate(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, size > 0 ? size : 1) != 0) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  int failures = 0, runs = 0;
  for (const std::string& path : files_in(argv[1])) {
    const auto content = read_file(path);
    const MiniModel model = read_tflite(content.data(), content.size());
    for (const char* kernels : {"", "portable", "reference"}) {
      for (int threads : {1, 2}) {
        const Delegate delegate(kernels);
        MiniHost host(model, threads);
        if (!host.apply(delegate.get) || !host.allocate()) return 1;
        fill_inputs(model, &host);
        const long before = allocations;
        if (!host.invoke() || !host.invoke()) return 1;
        ++runs;
        if (allocations == before) continue;
        ++failures;
        std::printf("%s, %s kernels, %d threads: %ld allocations\n", path.c_str(), kernels, threads,
                    allocations - before);
      }
    }
  }
  std::printf("%d runs\n", runs);
  return failures > 0 || runs == 0 ? 1 : 0;
}
