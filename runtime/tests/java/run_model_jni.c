/* Does with a delegate's handle what TFLite's own Java library does. */
#include <jni.h>

#include "tensorflow/lite/c/c_api.h"

static jbyteArray run(JNIEnv* env, TfLiteInterpreter* interpreter, const void* input, size_t size) {
  if (TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk) return NULL;
  TfLiteTensor* tensor = TfLiteInterpreterGetInputTensor(interpreter, 0);
  if (TfLiteTensorCopyFromBuffer(tensor, input, size) != kTfLiteOk) return NULL;
  if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk) return NULL;
  const TfLiteTensor* output = TfLiteInterpreterGetOutputTensor(interpreter, 0);
  const jsize count = (jsize)TfLiteTensorByteSize(output);
  jbyteArray result = (*env)->NewByteArray(env, count);
  if (result != NULL) (*env)->SetByteArrayRegion(env, result, 0, count, TfLiteTensorData(output));
  return result;
}

JNIEXPORT jbyteArray JNICALL Java_RunModel_run(JNIEnv* env, jclass class, jbyteArray model,
                                               jbyteArray input, jlong delegate) {
  (void)class;
  jbyte* model_bytes = (*env)->GetByteArrayElements(env, model, NULL);
  jbyte* input_bytes = (*env)->GetByteArrayElements(env, input, NULL);
  TfLiteModel* tflite_model =
      TfLiteModelCreate(model_bytes, (size_t)(*env)->GetArrayLength(env, model));
  TfLiteInterpreterOptions* options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsAddDelegate(options, (TfLiteDelegate*)delegate);
  TfLiteInterpreter* interpreter = TfLiteInterpreterCreate(tflite_model, options);
  jbyteArray result = NULL;
  if (interpreter != NULL) {
    result = run(env, interpreter, input_bytes, (size_t)(*env)->GetArrayLength(env, input));
  }
  TfLiteInterpreterDelete(interpreter);
  TfLiteInterpreterOptionsDelete(options);
  TfLiteModelDelete(tflite_model);
  (*env)->ReleaseByteArrayElements(env, model, model_bytes, JNI_ABORT);
  (*env)->ReleaseByteArrayElements(env, input, input_bytes, JNI_ABORT);
  return result;
}
