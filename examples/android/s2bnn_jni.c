/* The native methods of s2bnn.Model, for a network exported with `--arena external`. */
#include <jni.h>
#include <stddef.h>
#include <stdint.h>

#include "model.h"

#define PIXELS (MODEL_INPUT_HEIGHT * MODEL_INPUT_WIDTH)
#define OUTPUTS (MODEL_OUTPUT_BYTES / 4)

JNIEXPORT jint JNICALL Java_s2bnn_Model_size(JNIEnv* env, jclass type, jint what) {
  static const jint sizes[4] = {MODEL_INPUT_HEIGHT, MODEL_INPUT_WIDTH, OUTPUTS,
                                MODEL_ARENA_BYTES + MODEL_ARENA_ALIGNMENT};
  (void)env;
  (void)type;
  return sizes[what];
}

/* Pixels of Java, red above green above blue, as the network's numbers from 0 to 255. */
static void take_pixels(const jint* pixels, float* input) {
  for (int i = 0; i < PIXELS; ++i) {
    const uint32_t pixel = (uint32_t)pixels[i];
    const uint32_t r = (pixel >> 16) & 255U, g = (pixel >> 8) & 255U, b = pixel & 255U;
    if (MODEL_INPUT_CHANNELS == 1) {
      *input++ = (float)((19595U * r + 38470U * g + 7471U * b + 32768U) >> 16);
    } else {
      *input++ = (float)r;
      *input++ = (float)g;
      *input++ = (float)b;
    }
  }
}

/* 0 when all is well. */
JNIEXPORT jint JNICALL Java_s2bnn_Model_run(JNIEnv* env, jclass type, jobject buffer,
                                            jintArray pixels, jfloatArray outputs) {
  unsigned char* arena = (*env)->GetDirectBufferAddress(env, buffer);
  jint* values;
  (void)type;
  if (arena == NULL) return 1;
  arena +=
      (MODEL_ARENA_ALIGNMENT - (uintptr_t)arena % MODEL_ARENA_ALIGNMENT) % MODEL_ARENA_ALIGNMENT;
  values = (*env)->GetIntArrayElements(env, pixels, NULL);
  if (values == NULL) return 1;
  take_pixels(values, model_input(arena));
  (*env)->ReleaseIntArrayElements(env, pixels, values, JNI_ABORT);
  if (model_run(arena) != 0) return 1;
  (*env)->SetFloatArrayRegion(env, outputs, 0, OUTPUTS, model_output(arena));
  return 0;
}
