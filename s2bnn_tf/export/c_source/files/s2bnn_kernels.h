/* The operations of binary networks, in C99 and without dependencies; the same for every model.
 *
 * A map is stored row by row, pixel by pixel, channel by channel. Most kernels make one row of
 * their output, so that the kernels behind them find it in the first-level cache, and so that a
 * map between two of them takes one row of memory instead of a whole map.
 *
 * Bits are 32-bit words: bit i of word w is channel 32 * w + i, and 1 means negative. The bits
 * behind the last channel are 0.
 */
#ifndef S2BNN_KERNELS_H
#define S2BNN_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Constants are aligned for the widest load of the processor. */
#if defined(__GNUC__)
#if defined(__AVX512F__)
#define S2BNN_ALIGNED __attribute__((aligned(64)))
#elif defined(__AVX2__)
#define S2BNN_ALIGNED __attribute__((aligned(32)))
#else
#define S2BNN_ALIGNED __attribute__((aligned(16)))
#endif
#elif defined(_MSC_VER)
#define S2BNN_ALIGNED __declspec(align(64))
#else
#define S2BNN_ALIGNED /* alignment then costs no correctness, only speed */
#endif

/* Filters are stored for this many output channels at a time: [channels / 16][products][16]. */
#define S2BNN_BLOCK 16

/* How a window moves over a map. Sizes are in pixels. */
typedef struct {
  int32_t height, width; /* of the input */
  int32_t depth;         /* of an input pixel: its channels, or its words of 32 bits */
  int32_t columns;       /* the width of the output */
  int32_t rows_of_filter, columns_of_filter;
  int32_t row_stride, column_stride;
  int32_t row_dilation, column_dilation;
  int32_t top, left; /* the padding before the first row and column */
} s2bnn_window;

/* A binary convolution. With `sum` the number of products that are -1, out of K, an output is
 * 2 * sum * multiplier + bias, where the exporter has put K and the signs into both numbers. */
typedef struct {
  s2bnn_window window;
  int32_t channels;          /* of the output */
  int32_t groups;            /* each reads its own words of a pixel and makes its own channels */
  int32_t group_channels;    /* of the input, in one group */
  int32_t zero_padding;      /* 1: the padding is 0, so what it added has to be taken off again */
  int32_t has_limits;        /* 1: low and high are those of an activation */
  int32_t low, high;         /* limits of 2 * sum */
  const uint32_t* filter;    /* [groups][blocks][taps * words of a group][16] */
  const float* multiplier;   /* [channels]; null if the output is bits */
  const float* bias;         /* [channels] */
  const int32_t* thresholds; /* [channels]: a bit is 1 where sum > threshold */
} s2bnn_bconv;

/* A float convolution, or a dense layer if the window is one pixel. */
typedef struct {
  s2bnn_window window;
  int32_t channels;
  int32_t groups;
  float low, high;     /* limits of the output */
  const float* filter; /* [groups][blocks][taps * channels of a group][16] */
  const float* bias;   /* [channels] */
} s2bnn_conv;

/* A depthwise convolution with one output channel for each input channel. */
typedef struct {
  s2bnn_window window;
  float low, high;
  const float* filter; /* [taps][channels] */
  const float* bias;   /* [channels] */
} s2bnn_depthwise;

/* A dense layer with weights of 8 bits. */
typedef struct {
  int32_t inputs, outputs;
  float low, high;
  const int8_t* weights; /* [blocks][inputs][16] */
  const float* scale;    /* [outputs] */
  const float* bias;     /* [outputs] */
} s2bnn_dense8;

/* Binary convolution. `patches` has room for one row of patches (columns * taps * depth words),
 * unless the filter is one pixel. `taps`, needed with zero padding, has room for taps * channels
 * numbers, which s2bnn_bconv_taps fills once for all rows. */
void s2bnn_bconv_taps(const s2bnn_bconv* layer, int32_t* taps);
void s2bnn_bconv_row(const s2bnn_bconv* layer, const uint32_t* input, int32_t row,
                     uint32_t* patches, const int32_t* taps, float* output);
void s2bnn_bconv_bits_row(const s2bnn_bconv* layer, const uint32_t* input, int32_t row,
                          uint32_t* patches, const int32_t* taps, uint32_t* output);

/* Between floats and bits: n pixels of `channels` numbers. */
void s2bnn_quantize(const float* input, int32_t n, int32_t channels, uint32_t* output);
void s2bnn_dequantize(const uint32_t* input, int32_t n, int32_t channels, float* output);
void s2bnn_bits_pool_row(const s2bnn_window* window, const uint32_t* input, int32_t row,
                         uint32_t* output);

/* Float windows. */
void s2bnn_conv_row(const s2bnn_conv* layer, const float* input, int32_t row, float* patches,
                    float* output);
void s2bnn_depthwise_row(const s2bnn_depthwise* layer, const float* input, int32_t row,
                         float* output);
void s2bnn_max_pool_row(const s2bnn_window* window, const float* input, int32_t row, float* output);
void s2bnn_average_pool_row(const s2bnn_window* window, const float* input, int32_t row,
                            float* output);

/* In place, on n numbers, or on n pixels and one number for each channel. */
void s2bnn_add(float* x, const float* other, int32_t n);
void s2bnn_subtract(float* x, const float* other, int32_t n);
void s2bnn_subtract_from(float* x, const float* other, int32_t n);
void s2bnn_multiply(float* x, const float* other, int32_t n);
void s2bnn_add_channels(float* x, const float* vector, int32_t n, int32_t channels);
void s2bnn_subtract_channels(float* x, const float* vector, int32_t n, int32_t channels);
void s2bnn_subtract_from_channels(float* x, const float* vector, int32_t n, int32_t channels);
void s2bnn_multiply_channels(float* x, const float* vector, int32_t n, int32_t channels);
void s2bnn_prelu(float* x, const float* slopes, int32_t n, int32_t channels);
void s2bnn_clamp(float* x, float low, float high, int32_t n);
void s2bnn_logistic(float* x, int32_t n);
void s2bnn_tanh(float* x, int32_t n);
void s2bnn_hard_swish(float* x, int32_t n);

/* Moves. */
void s2bnn_put_channels(const float* input, int32_t n, int32_t channels, float* output,
                        int32_t all_channels);
void s2bnn_reverse_pixels(const float* input, int32_t n, int32_t channels, float* output);
void s2bnn_fill(float* x, float value, int32_t n);

/* Vectors. */
void s2bnn_mean(const float* input, int32_t n, int32_t channels, float* output);
void s2bnn_dense8_run(const s2bnn_dense8* layer, const float* input, float* output);
void s2bnn_softmax(float* x, float beta, int32_t n, int32_t channels);
void s2bnn_unit_length(float* x, int32_t n, int32_t channels);

#ifdef __cplusplus
}
#endif

#endif
