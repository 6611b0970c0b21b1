// Runs a Larq Compute Engine model from C++, with the objects of TFLite's C API in smart pointers.
// TFLite promises not to change its C API; if you build TFLite from source,
// `interpreter->ModifyGraphWithDelegate(delegate.get())` does the same in its C++ API.
//
//     make TFLITE=... DELEGATE=...        (see the Makefile)
//     ./run_model_cc model.tflite input.bin output.bin
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensorflow/lite/c/c_api.h"

// The functions that the delegate's library exports.
extern "C" {
TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                              size_t count,
                                              void (*report_error)(const char* message));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);
}

namespace {

template <auto destroy>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    destroy(object);
  }
};
using Model = std::unique_ptr<TfLiteModel, Deleter<TfLiteModelDelete>>;
using Options = std::unique_ptr<TfLiteInterpreterOptions, Deleter<TfLiteInterpreterOptionsDelete>>;
using Delegate = std::unique_ptr<TfLiteDelegate, Deleter<tflite_plugin_destroy_delegate>>;
using Interpreter = std::unique_ptr<TfLiteInterpreter, Deleter<TfLiteInterpreterDelete>>;

void require(bool condition, const std::string& message) {
  if (!condition) throw std::runtime_error(message);
}

class Network {
 public:
  Network(const std::string& path, int threads)
      : model_(TfLiteModelCreateFromFile(path.c_str())),
        delegate_(tflite_plugin_create_delegate(
            nullptr, nullptr, 0, [](const char* message) { std::cerr << message << '\n'; })) {
    require(model_ != nullptr, path + " is not a model");
    require(delegate_ != nullptr, "there is no delegate");
    const Options options(TfLiteInterpreterOptionsCreate());
    TfLiteInterpreterOptionsSetNumThreads(options.get(), threads);
    TfLiteInterpreterOptionsAddDelegate(options.get(), delegate_.get());
    interpreter_.reset(TfLiteInterpreterCreate(model_.get(), options.get()));
    require(interpreter_ != nullptr, "the model was refused");
    require(TfLiteInterpreterAllocateTensors(interpreter_.get()) == kTfLiteOk,
            "the model cannot be prepared");
  }

  std::vector<char> run(const std::vector<char>& input) {
    TfLiteTensor* tensor = TfLiteInterpreterGetInputTensor(interpreter_.get(), 0);
    require(TfLiteTensorCopyFromBuffer(tensor, input.data(), input.size()) == kTfLiteOk,
            "the input does not have the size of the model's input");
    require(TfLiteInterpreterInvoke(interpreter_.get()) == kTfLiteOk, "the model cannot be run");
    const TfLiteTensor* result = TfLiteInterpreterGetOutputTensor(interpreter_.get(), 0);
    std::vector<char> output(TfLiteTensorByteSize(result));
    require(TfLiteTensorCopyToBuffer(result, output.data(), output.size()) == kTfLiteOk,
            "the output cannot be read");
    return output;
  }

 private:
  Model model_;
  Delegate delegate_;  // must outlive the interpreter
  Interpreter interpreter_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: " << argv[0] << " MODEL.tflite INPUT OUTPUT\n";
    return 2;
  }
  try {
    std::ifstream file(argv[2], std::ios::binary);
    require(file.is_open(), std::string(argv[2]) + " cannot be opened");
    const std::vector<char> input((std::istreambuf_iterator<char>(file)), {});
    Network network(argv[1], 2);
    const std::vector<char> output = network.run(input);
    std::ofstream result(argv[3], std::ios::binary);
    result.write(output.data(), static_cast<std::streamsize>(output.size()));
    require(result.flush().good(), std::string(argv[3]) + " cannot be written");
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
