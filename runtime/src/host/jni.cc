// The functions that java/s2bnn/runtime/S2bnnDelegate.java calls. They pass only numbers, so no
// jni.h is needed.
#include <cstdio>

#include "host/tflite_abi.h"

#define S2BNN_JNI extern "C" __attribute__((visibility("default")))

extern "C" {
TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                              size_t count, void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);
}

S2BNN_JNI int64_t Java_s2bnn_runtime_S2bnnDelegate_create(void*, void*) {
  const auto report = [](const char* message) { std::fprintf(stderr, "%s\n", message); };
  return reinterpret_cast<int64_t>(tflite_plugin_create_delegate(nullptr, nullptr, 0, report));
}

S2BNN_JNI void Java_s2bnn_runtime_S2bnnDelegate_destroy(void*, void*, int64_t handle) {
  tflite_plugin_destroy_delegate(reinterpret_cast<TfLiteDelegate*>(handle));
}
