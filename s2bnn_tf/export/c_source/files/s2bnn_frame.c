#include "s2bnn_frame.h"

#define BITS 22 /* of the factors behind the point */
#define HALF ((int32_t)1 << (BITS - 1))

/* A pixel of the frame in one channel or three. */
static inline void read_pixel(const void* pixels, int32_t at, int32_t layout, int32_t channels,
                              int32_t value[3]) {
  if (layout == S2BNN_RGB565) {
    const int32_t packed = ((const uint16_t*)pixels)[at];
    const int32_t r = packed >> 11, g = (packed >> 5) & 63, b = packed & 31;
    value[0] = (r << 3) | (r >> 2);
    value[1] = (g << 2) | (g >> 4);
    value[2] = (b << 3) | (b >> 2);
  } else {
    const uint8_t* bytes = (const uint8_t*)pixels + (layout == S2BNN_GRAY8 ? at : 3 * at);
    value[0] = bytes[0];
    if (layout == S2BNN_GRAY8) return;
    value[1] = bytes[1];
    value[2] = bytes[2];
  }
  if (channels == 1) { /* the luma of ITU-R 601, as Pillow rounds it */
    value[0] = (19595 * value[0] + 38470 * value[1] + 7471 * value[2] + 32768) >> 16;
  }
}

/* Adds a row of the frame, resampled along the row and rounded to bytes, times a factor. */
static inline void add_row(const s2bnn_frame* frame, const void* pixels, int32_t y, int32_t factor,
                           int32_t layout, int32_t channels, int32_t* sums) {
  const s2bnn_axis* axis = &frame->horizontal;
  const int32_t* factors = axis->factors;
  for (int32_t column = 0; column < frame->columns; ++column) {
    const int32_t first = y * frame->width + axis->first[column];
    int32_t sum[3] = {HALF, HALF, HALF}, value[3] = {0};
    for (int32_t tap = 0; tap < axis->taps; ++tap) {
      read_pixel(pixels, first + tap, layout, channels, value);
      for (int32_t c = 0; c < channels; ++c) sum[c] += value[c] * factors[tap];
    }
    for (int32_t c = 0; c < channels; ++c) sums[c] += (sum[c] >> BITS) * factor;
    factors += axis->taps;
    sums += channels;
  }
}

void s2bnn_frame_row(const s2bnn_frame* frame, const void* pixels, int32_t row, int32_t* sums,
                     float* output) {
  const s2bnn_axis* axis = &frame->vertical;
  const int32_t channels = frame->layout == S2BNN_GRAY8 ? 1 : frame->channels;
  for (int32_t i = 0; i < frame->columns * channels; ++i) sums[i] = HALF;
  for (int32_t tap = 0; tap < axis->taps; ++tap) {
    const int32_t y = axis->first[row] + tap, factor = axis->factors[row * axis->taps + tap];
    if (factor == 0) continue;
    if (frame->layout == S2BNN_GRAY8) { /* each with constants, so that it is one simple loop */
      add_row(frame, pixels, y, factor, S2BNN_GRAY8, 1, sums);
    } else if (frame->layout == S2BNN_RGB565) {
      if (channels == 1) add_row(frame, pixels, y, factor, S2BNN_RGB565, 1, sums);
      if (channels == 3) add_row(frame, pixels, y, factor, S2BNN_RGB565, 3, sums);
    } else {
      if (channels == 1) add_row(frame, pixels, y, factor, S2BNN_RGB888, 1, sums);
      if (channels == 3) add_row(frame, pixels, y, factor, S2BNN_RGB888, 3, sums);
    }
  }
  for (int32_t i = 0; i < frame->columns * frame->channels; ++i) {
    output[i] = (float)(sums[channels == frame->channels ? i : i / 3] >> BITS);
  }
}
