// Hosts that lay out their structs differently, and models that no converter writes. Each is
// refused with a message, and everything that is still whole keeps working. Run it under the
// address sanitizer, which also looks for leaks.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "read_tflite.h"
#include "run_model.h"

namespace {

int failures = 0;

void check(bool condition, const char* what, const std::string& detail = "") {
  if (condition) return;
  ++failures;
  std::printf("FAILED: %s %s\n", what, detail.c_str());
}

// One convolution from corpus/model, with bits in and numbers out. Its tensors are input, output,
// filter, multiplier and bias.
MiniModel good;
constexpr int kInput = 0, kOutput = 1, kFilter = 2;

void refuses(const char* what, const char* reason, const std::function<void(MiniHost&)>& damage) {
  const Delegate delegate("");
  MiniHost host(good, 1);
  damage(host);
  const bool accepted = host.apply(delegate.get) && host.allocate();
  check(!accepted, what, "was accepted");
  check(host.errors().find(reason) != std::string::npos, what, host.errors());
}

void refuses_model(const char* what, const char* reason,
                   const std::function<void(MiniModel&)>& damage) {
  MiniModel model = good;
  damage(model);
  const Delegate delegate("");
  const RunResult result = run_model(model, delegate.get, 1);
  check(!result.accepted, what, "was accepted");
  check(result.errors.find(reason) != std::string::npos, what, result.errors);
}

void test_structs() {
  refuses("no function", "TfLiteContext", [](MiniHost& h) { h.context().ResizeTensor = nullptr; });
  refuses("threads", "TfLiteContext",
          [](MiniHost& h) { h.context().recommended_num_threads = -7; });
  refuses("too many tensors", "TfLiteContext",
          [](MiniHost& h) { h.context().tensors_size = size_t{1} << 40; });
  refuses("tensor type", "TfLiteTensor",
          [](MiniHost& h) { h.tensor(2).type = static_cast<TfLiteType>(1 << 20); });
  refuses("tensor dims", "TfLiteTensor",
          [](MiniHost& h) { h.tensor(2).dims = reinterpret_cast<TfLiteIntArray*>(3); });
  refuses("negative index", "TfLiteNode", [](MiniHost& h) { h.node(0).inputs->data[1] = -2; });
  refuses("large index", "TfLiteNode", [](MiniHost& h) { h.node(0).inputs->data[1] = 5; });
  refuses("index of an output", "TfLiteNode",
          [](MiniHost& h) { h.node(0).outputs->data[0] = 1 << 30; });
  refuses("size of the options", "TfLiteNode",
          [](MiniHost& h) { h.node(0).custom_initial_data_size = -1; });
  refuses("operator", "TfLiteRegistration",
          [](MiniHost& h) { h.registration(0).builtin_code = -5; });
}

// A host whose tensors have one more field: the array's stride is not 112 bytes.
void test_stride() {
  const Delegate delegate("");
  for (size_t stride : {96, 104, 120, 128}) {
    MiniHost host(good, 1);
    std::vector<uint8_t> wider(good.tensors.size() * 128 + 112, 0);
    for (size_t i = 0; i < good.tensors.size(); ++i) {
      std::memcpy(wider.data() + i * stride, &host.tensor(static_cast<int>(i)),
                  std::min<size_t>(stride, sizeof(TfLiteTensor)));
    }
    host.context().tensors = reinterpret_cast<TfLiteTensor*>(wider.data());
    check(!host.apply(delegate.get), "a stride of", std::to_string(stride));
    check(host.errors().find("TfLiteTensor") != std::string::npos, "the message of a stride",
          host.errors());
  }
}

void test_missing_parts() {
  refuses("no inputs", "no inputs", [](MiniHost& h) { h.node(0).inputs = nullptr; });
  refuses("no outputs", "not exactly one output", [](MiniHost& h) { h.node(0).outputs = nullptr; });
  refuses("no options", "no flexbuffer",
          [](MiniHost& h) { h.node(0).custom_initial_data = nullptr; });
  refuses("no shape", "a tensor has no shape",
          [](MiniHost& h) { h.tensor(kInput).dims = nullptr; });
  refuses("constant without data", "shorter than its shape",
          [](MiniHost& h) { h.tensor(kFilter).data = nullptr; });
  refuses("constant too short", "shorter than its shape",
          [](MiniHost& h) { h.tensor(kFilter).bytes -= 1; });
  refuses("constant not aligned", "not aligned", [](MiniHost& h) {
    h.tensor(kFilter).data = static_cast<uint8_t*>(h.tensor(kFilter).data) + 1;
  });
  refuses("no execution plan", "execution plan", [](MiniHost& h) {
    h.context().GetExecutionPlan = [](TfLiteContext*, TfLiteIntArray**) { return kTfLiteError; };
  });
  refuses("no nodes", "does not report its nodes", [](MiniHost& h) {
    h.context().GetNodeAndRegistration = [](TfLiteContext*, int, TfLiteNode**,
                                            TfLiteRegistration**) { return kTfLiteError; };
  });
  refuses("no replacement", "refuses the partitions", [](MiniHost& h) {
    h.context().ReplaceNodeSubsetsWithDelegateKernels = [](TfLiteContext*, TfLiteRegistration,
                                                           const TfLiteIntArray*, TfLiteDelegate*) {
      return kTfLiteError;
    };
  });
}

void test_models() {
  refuses_model("negative size", "negative dimension",
                [](MiniModel& m) { m.tensors[kInput].shape[1] = -1; });
  refuses_model("no size", "empty", [](MiniModel& m) { m.tensors[kInput].shape[1] = 0; });
  refuses_model("sizes that overflow", "2^31", [](MiniModel& m) {
    m.tensors[kInput].shape = {1 << 30, 1 << 30, 4, 2};
  });
  refuses_model("rank", "four dimensions", [](MiniModel& m) {
    m.tensors[kInput].shape = {5, 6, 2};
  });
  refuses_model("output type", "the output must be",
                [](MiniModel& m) { m.tensors[kOutput].type = kTfLiteBool; });
  refuses_model("int8 without scale", "quantization scale",
                [](MiniModel& m) { m.tensors[kOutput].type = kTfLiteInt8; });
  refuses_model("a type of a later version", "neither float32",
                [](MiniModel& m) { m.tensors[kInput].type = 13; });
}

// The host must not be asked for partitions of a graph that cannot be executed, whether we claim
// the nodes at fault or not.
void refuses_order(const char* what, const char* reason,
                   const std::function<void(MiniModel&)>& damage) {
  MiniModel model = good;
  model.tensors.resize(7, good.tensors[kOutput]);
  const auto logistic = [](int input, int output) {
    MiniNode node;
    node.builtin_code = 14;  // LOGISTIC, which only the host can run
    node.inputs = {input};
    node.outputs = {output};
    return node;
  };
  model.nodes.push_back(logistic(kOutput, 5));
  model.nodes.push_back(logistic(5, 6));
  model.outputs = {6};
  const Delegate delegate("");
  check(run_model(model, delegate.get, 1).accepted, "a graph in order");
  damage(model);
  MiniHost host(model, 1);
  host.context().ReplaceNodeSubsetsWithDelegateKernels =
      [](TfLiteContext*, TfLiteRegistration, const TfLiteIntArray*, TfLiteDelegate*) {
        check(false, "the host was asked for partitions");
        return kTfLiteError;
      };
  check(!host.apply(delegate.get), what, "was accepted");
  check(host.errors().find(reason) != std::string::npos, what, host.errors());
}

void test_execution_order() {
  refuses_order("an output that is an input",
                "node 0 (LceBconv2d) reads tensor 0, which it makes itself",
                [](MiniModel& m) { m.nodes[0].outputs[0] = kInput; });
  refuses_order("an output that is a constant",
                "node 0 (LceBconv2d) writes tensor 2, which is a constant",
                [](MiniModel& m) { m.nodes[0].outputs[0] = kFilter; });
  refuses_order("a node twice",
                "node 3 (LceBconv2d) makes tensor 1, which node 0 (LceBconv2d) makes too",
                [](MiniModel& m) { m.nodes.push_back(m.nodes[0]); });
  refuses_order("a tensor made twice by the host",
                "node 2 (builtin operator 14) makes tensor 5, which node 1 (builtin operator 14)",
                [](MiniModel& m) { m.nodes[2].outputs = {5}; });
  refuses_order("a tensor used before it is made",
                "node 1 (builtin operator 14) reads tensor 6 before node 2 (builtin operator 14)",
                [](MiniModel& m) { m.nodes[1].inputs = {6}; });
  refuses_order("a circle", "node 0 (LceBconv2d) reads tensor 6 before node 2",
                [](MiniModel& m) { m.nodes[0].inputs[0] = 6; });
  refuses_order("a constant written by the host", "node 2 (builtin operator 14) writes tensor 2",
                [](MiniModel& m) { m.nodes[2].outputs = {kFilter}; });
  refuses_order("a missing output", "node 2 (builtin operator 14) lacks an output",
                [](MiniModel& m) { m.nodes[2].outputs = {kTfLiteOptionalTensor}; });
}

// The number of its words must not overflow.
void test_largest_channel_count() {
  MiniModel model;
  model.tensors.resize(2);
  model.tensors[0].shape = {1, 2147483647};
  model.tensors[1].type = kTfLiteInt32;
  model.tensors[1].shape = {1, 1 << 26};
  MiniNode quantize;
  quantize.custom_name = "LceQuantize";
  quantize.inputs = {0};
  quantize.outputs = {1};
  model.nodes = {quantize};
  model.inputs = quantize.inputs;
  model.outputs = quantize.outputs;
  const Delegate delegate("");
  const RunResult result = run_model(model, delegate.get, 1);
  check(result.errors.find("the host refuses to resize") != std::string::npos,
        "the largest channel count", result.errors);
}

// Float ops around a convolution that could not run in float32 stay with the host.
void test_other_types_stay_with_the_host() {
  for (int type : {int{kTfLiteInt8}, int{kTfLiteBool}, int{kTfLiteInt32}}) {
    MiniModel model = good;
    MiniTensor sum = model.tensors[kOutput];
    sum.type = type;
    sum.scale = 1.f;
    model.tensors.push_back(sum);
    MiniNode add;
    add.builtin_code = kTfLiteBuiltinAdd;
    add.inputs = {kOutput, kOutput};
    add.outputs = {static_cast<int>(model.tensors.size()) - 1};
    add.builtin_options = {0};
    model.nodes.push_back(add);
    model.outputs = add.outputs;
    const Delegate delegate("");
    const RunResult result = run_model(model, delegate.get, 1);
    check(result.accepted, "the convolution before an addition", result.errors);
    const bool is_zero = std::all_of(result.outputs[0].begin(), result.outputs[0].end(),
                                     [](uint8_t byte) { return byte == 0; });
    check(is_zero, "an addition of another type was claimed");
  }
}

void test_keeps_working_after_errors() {
  const Delegate delegate("");
  const RunResult wanted = run_model(good, delegate.get, 1);
  check(wanted.accepted, "the good model", wanted.errors);
  MiniHost host(good, 2);
  check(host.apply(delegate.get), "claim", host.errors());
  check(!host.invoke(), "invoke before prepare was accepted");

  auto* const resize = host.context().ResizeTensor;
  host.context().ResizeTensor = [](TfLiteContext*, TfLiteTensor*, TfLiteIntArray* shape) {
    std::free(shape);
    return kTfLiteError;
  };
  check(!host.allocate() && !host.invoke(), "a host that does not resize");
  host.context().ResizeTensor = resize;
  check(host.allocate(), "prepare after an error", host.errors());

  fill_inputs(good, &host);
  for (int tensor : {kInput, kOutput}) {
    const TfLiteTensor saved = host.tensor(tensor);
    host.tensor(tensor).data = nullptr;
    check(!host.invoke(), "a tensor without memory");
    host.tensor(tensor) = saved;
    host.tensor(tensor).bytes -= 1;
    check(!host.invoke(), "a tensor with too little memory");
    host.tensor(tensor) = saved;
  }
  host.resize_input(kInput, {1, 7, 6, 2});
  check(!host.invoke(), "resized without prepare");
  check(host.allocate() && host.invoke(), "resized", host.errors());
  host.resize_input(kInput, {1, 7, 6, 3});
  check(!host.allocate() && !host.invoke(), "resized to other channels");
  host.resize_input(kInput, good.tensors[kInput].shape);
  check(host.allocate(), "resized back", host.errors());
  fill_inputs(good, &host);
  check(host.invoke() && read_outputs(good, &host) == wanted.outputs, "the result after all this");
}

void test_plugin() {
  const char* const keys[] = {"kernels", nullptr};
  const char* const values[] = {"abacus", nullptr};
  check(tflite_plugin_create_delegate(keys, values, 1, nullptr) == nullptr, "unknown kernels");
  check(tflite_plugin_create_delegate(keys + 1, values + 1, 1, nullptr) == nullptr,
        "a null option");
  check(tflite_plugin_create_delegate(nullptr, nullptr, 1, nullptr) == nullptr, "null options");
  tflite_plugin_destroy_delegate(nullptr);
  const Delegate delegate("");
  check(delegate.get->Prepare(nullptr, delegate.get) == kTfLiteError, "a null context");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto content = read_file(std::string(argv[1]) + "/bconv");
  good = read_tflite(content.data(), content.size());
  test_structs();
  test_stride();
  test_missing_parts();
  test_models();
  test_execution_order();
  test_largest_channel_count();
  test_other_types_stay_with_the_host();
  test_keeps_working_after_errors();
  test_plugin();
  std::printf("%d failures\n", failures);
  return failures > 0 ? 1 : 0;
}
