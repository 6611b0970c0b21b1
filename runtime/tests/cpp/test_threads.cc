// Several hosts in several threads, each with several threads of its own, and some of them sharing
// a delegate. The results are those of one thread, and the thread sanitizer reports nothing.
#include <atomic>
#include <cstdio>
#include <thread>

#include "read_tflite.h"
#include "run_model.h"

extern "C" size_t s2bnn_runtime_profile(const char* name, char* buffer, size_t size);

namespace {

constexpr int kHosts = 4;
constexpr int kRuns = 3;

int mismatches(const MiniModel& model, TfLiteDelegate* shared,
               const std::vector<std::vector<uint8_t>>& wanted) {
  std::atomic<int> count{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kHosts; ++i) {
    threads.emplace_back([&, i] {
      const Delegate own("");
      for (int run = 0; run < kRuns; ++run) {
        const RunResult result = run_model(model, i % 2 == 0 ? shared : own.get, 1 + i);
        if (!result.accepted || result.outputs != wanted) ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return count;
}

// Profiles are read while runs add to them and while prepare() replaces them.
int profile_while_running(const MiniModel& model, const RunResult& wanted) {
  const char* const keys[] = {"profile"};
  const char* const values[] = {"threads"};
  TfLiteDelegate* const delegate = tflite_plugin_create_delegate(keys, values, 1, nullptr);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    char text[1 << 14];
    while (!done) s2bnn_runtime_profile("threads", text, sizeof(text));
  });
  int failures = 0;
  for (int run = 0; run < kRuns; ++run) {
    if (run_model(model, delegate, 2).outputs != wanted.outputs) ++failures;
  }
  done = true;
  reader.join();
  tflite_plugin_destroy_delegate(delegate);
  return failures;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  int failures = 0, models = 0;
  for (const std::string& path : files_in(argv[1])) {
    const auto content = read_file(path);
    MiniModel model;
    try {
      model = read_tflite(content.data(), content.size());
    } catch (const s2bnn::Error&) {
      continue;
    }
    const Delegate shared("");
    const RunResult wanted = run_model(model, shared.get, 1);
    if (!wanted.accepted) continue;
    ++models;
    const int count = mismatches(model, shared.get, wanted.outputs);
    if (count > 0) std::printf("%s: %d results differ\n", path.c_str(), count);
    failures += count + profile_while_running(model, wanted);
  }
  std::printf("%d models\n", models);
  return failures > 0 || models == 0 ? 1 : 0;
}
