/* A camera's frame as the picture that a network sees, row by row, in C99. */
#ifndef S2BNN_FRAME_H
#define S2BNN_FRAME_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define S2BNN_RGB888 0 /* three bytes a pixel */
#define S2BNN_RGB565 \
  1 /* a uint16_t a pixel: red in the highest 5 bits, then green in 6, blue in 5 */
#define S2BNN_GRAY8 2 /* a byte a pixel */

/* How an axis is resampled: line i is the sum of the lines of the frame from first[i] on, each
 * times its factor, in units of 2^-22. */
typedef struct {
  int32_t taps;
  const int16_t* first;   /* [lines] */
  const int32_t* factors; /* [lines][taps] */
} s2bnn_axis;

typedef struct {
  int32_t width;            /* of the frame */
  int32_t columns;          /* of the picture */
  int32_t layout, channels; /* of the frame: one of the above; of the picture: 3 or 1 */
  s2bnn_axis horizontal, vertical;
} s2bnn_frame;

/* One row of the picture, numbers from 0 to 255; `sums` has room for as many. They are those of
 * Pillow's bilinear resize, to the byte. */
void s2bnn_frame_row(const s2bnn_frame* frame, const void* pixels, int32_t row, int32_t* sums,
                     float* output);

#ifdef __cplusplus
}
#endif

#endif
