/* Runs a Larq Compute Engine model from C: TFLite's C API and the delegate of s2bnn_runtime.
 *
 *     make TFLITE=... DELEGATE=...        (see the Makefile)
 *     ./run_model_c model.tflite input.bin output.bin
 *
 * input.bin holds the values of the model's input as they lie in memory, float32 for most models,
 * and output.bin those of its output. */
#include <stdio.h>
#include <stdlib.h>

#include "tensorflow/lite/c/c_api.h"

/* The functions that the delegate's library exports. Options are names and values, for example
 * "kernels" and "portable"; none are needed. */
TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                              size_t count,
                                              void (*report_error)(const char* message));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

static void print_error(const char* message) { fprintf(stderr, "%s\n", message); }

/* Reads a file into a tensor of the same size. */
static int read_into(TfLiteTensor* tensor, const char* path) {
  const size_t size = TfLiteTensorByteSize(tensor);
  FILE* file = fopen(path, "rb");
  if (file == NULL) return fprintf(stderr, "%s cannot be opened\n", path), 0;
  const int fits = fread(TfLiteTensorData(tensor), 1, size, file) == size && fgetc(file) == EOF;
  fclose(file);
  if (!fits) fprintf(stderr, "%s does not have the %zu bytes of the model's input\n", path, size);
  return fits;
}

static int write_from(const TfLiteTensor* tensor, const char* path) {
  FILE* file = fopen(path, "wb");
  if (file == NULL) return fprintf(stderr, "%s cannot be written\n", path), 0;
  const int whole = fwrite(TfLiteTensorData(tensor), TfLiteTensorByteSize(tensor), 1, file) == 1;
  return fclose(file) == 0 && whole;
}

static int run(TfLiteInterpreter* interpreter, const char* input, const char* output) {
  if (TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk) return 0;
  if (!read_into(TfLiteInterpreterGetInputTensor(interpreter, 0), input)) return 0;
  if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk)
    return 0; /* call it as often as you like */
  return write_from(TfLiteInterpreterGetOutputTensor(interpreter, 0), output);
}

int main(int argc, char** argv) {
  if (argc != 4) return fprintf(stderr, "usage: %s MODEL.tflite INPUT OUTPUT\n", argv[0]), 2;
  TfLiteModel* model = TfLiteModelCreateFromFile(argv[1]);
  if (model == NULL) return fprintf(stderr, "%s is not a model\n", argv[1]), 1;
  TfLiteDelegate* delegate = tflite_plugin_create_delegate(NULL, NULL, 0, print_error);
  if (delegate == NULL) return 1;

  TfLiteInterpreterOptions* options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, 2);
  TfLiteInterpreterOptionsAddDelegate(options, delegate);
  TfLiteInterpreter* interpreter =
      TfLiteInterpreterCreate(model, options); /* NULL if the delegate refuses the model */
  const int done = interpreter != NULL && run(interpreter, argv[2], argv[3]);

  if (interpreter != NULL) TfLiteInterpreterDelete(interpreter);
  TfLiteInterpreterOptionsDelete(options);
  tflite_plugin_destroy_delegate(delegate); /* after the interpreter */
  TfLiteModelDelete(model);
  return done ? 0 : 1;
}
