// A TFLite host reduced to the part that a delegate sees: it lays out the C structs, passes
// partitions, gives memory to tensors, and runs the partitions. It computes nothing itself: the
// output of a node that nobody claimed stays zero.
//
// Every tensor has its own memory, of exactly its size, so that the address sanitizer sees each
// byte that is read or written beyond it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "host/tflite_abi.h"

extern "C" {
TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                              size_t count, void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);
}

struct MiniTensor {
  int type = kTfLiteFloat32;
  std::vector<int> shape;
  bool is_constant = false;
  std::vector<uint8_t> data;  // of a constant
  float scale = 0.f;
  int zero_point = 0;
};

struct MiniNode {
  int builtin_code = kTfLiteBuiltinCustom;
  std::string custom_name;
  std::vector<int> inputs, outputs;
  std::vector<uint8_t> custom_options;
  std::vector<int> builtin_options;  // the fields of the operator's struct
};

struct MiniModel {
  std::vector<MiniTensor> tensors;
  std::vector<MiniNode> nodes;
  std::vector<int> inputs, outputs;
};

class MiniHost {
 public:
  MiniHost(const MiniModel& model, int num_threads);
  ~MiniHost();
  MiniHost(const MiniHost&) = delete;
  MiniHost& operator=(const MiniHost&) = delete;

  bool apply(TfLiteDelegate* delegate);
  void resize_input(int tensor, const std::vector<int>& shape);
  bool allocate();  // prepares the partitions, then gives all tensors memory
  bool invoke();

  // The structs, for tests that damage them.
  TfLiteContext& context() { return context_; }
  TfLiteTensor& tensor(int i) { return tensors_[i]; }
  TfLiteNode& node(int i) { return nodes_[i].node; }
  TfLiteRegistration& registration(int i) { return nodes_[i].registration; }
  size_t partitions() const;
  const std::string& errors() const { return errors_; }

  static constexpr size_t kMaxTensorBytes = 1 << 26;

 private:
  // An array in TfLiteIntArray's layout.
  struct IntArray {
    explicit IntArray(const std::vector<int>& values = {}) : words(values) {
      words.insert(words.begin(), static_cast<int>(values.size()));
    }
    TfLiteIntArray* get() { return reinterpret_cast<TfLiteIntArray*>(words.data()); }
    std::vector<int> words;
  };
  struct Node {
    TfLiteNode node = {};
    TfLiteRegistration registration = {};
    IntArray inputs, outputs;
    std::vector<uint8_t> custom_options;
    std::vector<int> builtin_options;
    bool is_partition = false;
  };

  static MiniHost& of(TfLiteContext* context) { return *static_cast<MiniHost*>(context->impl_); }
  static TfLiteStatus get_execution_plan(TfLiteContext* context, TfLiteIntArray** plan);
  static TfLiteStatus get_node(TfLiteContext* context, int index, TfLiteNode** node,
                               TfLiteRegistration** registration);
  static TfLiteStatus resize_tensor(TfLiteContext* context, TfLiteTensor* tensor,
                                    TfLiteIntArray* shape);
  static TfLiteStatus replace(TfLiteContext* context, TfLiteRegistration registration,
                              const TfLiteIntArray* nodes, TfLiteDelegate* delegate);
  static void report_error(TfLiteContext* context, const char* format, ...);

  void add_node(const MiniNode& node);
  void add_partition(const TfLiteRegistration& registration, const std::vector<int>& nodes,
                     TfLiteDelegate* delegate);
  bool set_shape(int tensor, const std::vector<int>& shape);
  void give_memory(int tensor);

  MiniModel model_;
  TfLiteContext context_ = {};
  std::vector<TfLiteTensor> tensors_;
  std::deque<IntArray> shapes_;  // per tensor
  std::vector<std::vector<uint8_t>> memory_;
  std::deque<Node> nodes_;
  IntArray plan_;
  std::string errors_;
};
