#include "run_model.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

Delegate::Delegate(const char* kernels) {
  const char* const keys[] = {"kernels"};
  const char* const values[] = {kernels};
  get = tflite_plugin_create_delegate(keys, values, 1, nullptr);
}

void clear_unused_bits(int type, const std::vector<int>& shape, uint8_t* data, size_t bytes) {
  if (type != kTfLiteInt32 || shape.empty() || shape.back() <= 0) return;
  const size_t pixel = 4 * static_cast<size_t>(shape.back());
  for (size_t end = pixel; end <= bytes; end += pixel) {
    data[end - 4] &= 1;
    std::memset(data + end - 3, 0, 3);
  }
}

void fill_inputs(const MiniModel& model, MiniHost* host) {
  uint32_t state = 1;
  for (int i : model.inputs) {
    if (i < 0 || static_cast<size_t>(i) >= model.tensors.size() || model.tensors[i].is_constant) {
      continue;
    }
    TfLiteTensor& tensor = host->tensor(i);
    if (tensor.data == nullptr) continue;
    auto* bytes = static_cast<uint8_t*>(tensor.data);
    for (size_t b = 0; b < tensor.bytes; ++b) {
      state = state * 1664525 + 1013904223;
      bytes[b] = static_cast<uint8_t>(state >> 24);
    }
    if (tensor.type == kTfLiteBool) {
      for (size_t b = 0; b < tensor.bytes; ++b) bytes[b] &= 1;
    }
    clear_unused_bits(tensor.type, model.tensors[i].shape, bytes, tensor.bytes);
    for (size_t b = 0; tensor.type == kTfLiteFloat32 && b + 4 <= tensor.bytes; b += 4) {
      const float value = (static_cast<float>(bytes[b]) - 127.5f) / 64.f;
      std::memcpy(bytes + b, &value, 4);
    }
  }
}

std::vector<std::vector<uint8_t>> read_outputs(const MiniModel& model, MiniHost* host) {
  std::vector<std::vector<uint8_t>> outputs;
  for (int i : model.outputs) {
    if (i < 0 || static_cast<size_t>(i) >= model.tensors.size() ||
        host->tensor(i).data == nullptr) {
      continue;
    }
    const auto* data = static_cast<const uint8_t*>(host->tensor(i).data);
    outputs.emplace_back(data, data + host->tensor(i).bytes);
  }
  return outputs;
}

RunResult run_model(const MiniModel& model, TfLiteDelegate* delegate, int threads) {
  RunResult result;
  MiniHost host(model, threads);
  if (host.apply(delegate) && host.allocate()) {
    fill_inputs(model, &host);
    result.accepted = host.invoke() && host.invoke();
  }
  result.errors = host.errors();
  if (result.accepted) result.outputs = read_outputs(model, &host);
  return result;
}

std::vector<uint8_t> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string> files_in(const std::string& directory) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}
