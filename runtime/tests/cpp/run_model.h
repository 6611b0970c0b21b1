// Runs a model through the delegate in the mini host.
#pragma once

#include <string>
#include <vector>

#include "mini_host.h"

struct Delegate {
  explicit Delegate(const char* kernels);  // "" for the best
  ~Delegate() { tflite_plugin_destroy_delegate(get); }
  Delegate(const Delegate&) = delete;
  Delegate& operator=(const Delegate&) = delete;
  TfLiteDelegate* get;
};

// Clears bits that may lie behind a tensor's last channel. They are 0 by definition, and kernels
// treat others differently. Only the ops know how many channels there are, so of each last word the
// one bit remains that there is in any case.
void clear_unused_bits(int type, const std::vector<int>& shape, uint8_t* data, size_t bytes);

// Fills the inputs with reproducible values: any bits, int8 and bool, and float32 numbers around 0.
void fill_inputs(const MiniModel& model, MiniHost* host);

// Returns the outputs that exist, one after the other.
std::vector<std::vector<uint8_t>> read_outputs(const MiniModel& model, MiniHost* host);

struct RunResult {
  bool accepted = false;
  std::string errors;
  std::vector<std::vector<uint8_t>> outputs;
};
RunResult run_model(const MiniModel& model, TfLiteDelegate* delegate, int threads);

std::vector<uint8_t> read_file(const std::string& path);
std::vector<std::string> files_in(const std::string& directory);
