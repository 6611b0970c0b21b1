/* See s2bnn_kernels.h. The first pages choose the instructions; the rest is plain C99. */
#include "s2bnn_kernels.h"

#include <string.h>

#include "s2bnn_math.h"

#if defined(__AVX2__) && defined(__GNUC__)
#include <immintrin.h>
#endif

/* ---- Words of bits, as many at once as the processor has lanes -------------------------------
 *
 * words        an integer vector of S2BNN_LANES words of 32 bits
 * ones(v)      how many bits are 1: in each byte, or in each word already
 * in_words(v)  the sum of the bytes of each word, after at most S2BNN_MOST additions of ones(v)
 */

#if defined(__GNUC__) || defined(__clang__)
#define S2BNN_INLINE static inline __attribute__((always_inline))
#else
#define S2BNN_INLINE static inline
#endif

#if defined(__GNUC__)
#define S2BNN_OUTLINE __attribute__((noinline))
#else
#define S2BNN_OUTLINE
#endif

#define S2BNN_MOST 31 /* 31 times 8 ones fit into a byte */

#if defined(S2BNN_PORTABLE) || !defined(__GNUC__)
#define S2BNN_LANES 1
#elif defined(__AVX512VPOPCNTDQ__)
#define S2BNN_LANES 16
#elif defined(__AVX2__)
#define S2BNN_LANES 8
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define S2BNN_LANES 4
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define S2BNN_LANES 4
#elif (defined(__SSE2__) && !defined(__POPCNT__)) || \
    (defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE > 1)
#define S2BNN_LANES 4
#else
#define S2BNN_LANES 1
#endif

#if S2BNN_LANES == 1
typedef uint32_t words;
#define S2BNN_SPLAT(x) (x)
#else
typedef uint32_t words __attribute__((vector_size(4 * S2BNN_LANES)));
#define S2BNN_SPLAT(x) ((words){0} + (x))
#endif

#if defined(__AVX512VPOPCNTDQ__) && S2BNN_LANES == 16
S2BNN_INLINE words ones(words v) { return (words)_mm512_popcnt_epi32((__m512i)v); }
S2BNN_INLINE words in_words(words v) { return v; }
#elif defined(__AVX2__) && S2BNN_LANES == 8
S2BNN_INLINE words ones(words v) { /* a table of 16 counts, looked up for each half of a byte */
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2,
                                         1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i half = _mm256_set1_epi8(15);
  const __m256i low = _mm256_and_si256((__m256i)v, half);
  const __m256i high = _mm256_and_si256(_mm256_srli_epi16((__m256i)v, 4), half);
  return (words)_mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
}
S2BNN_INLINE words in_words(words v) {
  const __m256i pairs = _mm256_maddubs_epi16((__m256i)v, _mm256_set1_epi8(1));
  return (words)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#elif defined(__ARM_NEON) && S2BNN_LANES == 4
S2BNN_INLINE words ones(words v) { return (words)vcntq_u8((uint8x16_t)v); }
S2BNN_INLINE words in_words(words v) { return (words)vpaddlq_u16(vpaddlq_u8((uint8x16_t)v)); }
#elif defined(__wasm_simd128__) && S2BNN_LANES == 4
S2BNN_INLINE words ones(words v) { return (words)wasm_i8x16_popcnt((v128_t)v); }
S2BNN_INLINE words in_words(words v) {
  return (words)wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16((v128_t)v));
}
#elif S2BNN_LANES == 1 && (defined(__POPCNT__) || defined(__riscv_zbb))
S2BNN_INLINE words ones(words v) { return (words)__builtin_popcount(v); }
S2BNN_INLINE words in_words(words v) { return v; }
#else
#if S2BNN_LANES == 1
#define S2BNN_BY_3 /* neighbors are summed for three words at once */
#endif
S2BNN_INLINE words ones(words v) { /* sums of neighbors, in 2, 4 and 8 bits */
  v -= (v >> 1) & 0x55555555U;
  v = (v & 0x33333333U) + ((v >> 2) & 0x33333333U);
  return (v + (v >> 4)) & 0x0f0f0f0fU;
}
S2BNN_INLINE words in_words(words v) {
  v = (v & 0x00ff00ffU) + ((v >> 8) & 0x00ff00ffU);
  return (v & 0xffffU) + (v >> 16);
}
#endif

#if defined(S2BNN_BY_3)
#if defined(__thumb2__) && !defined(S2BNN_PORTABLE)
#define S2BNN_IN_REGISTER(x) __asm__("" : "+r"(x)) /* an operand can then be shifted on its way */
#else
#define S2BNN_IN_REGISTER(x) (void)(x)
#endif

typedef struct {
  words pairs, fours, bytes;
} masks;

S2BNN_INLINE masks get_masks(void) {
  masks m;
  m.pairs = 0x55555555U;
  m.fours = 0x33333333U;
  m.bytes = 0x0f0f0f0fU;
  S2BNN_IN_REGISTER(m.pairs);
  S2BNN_IN_REGISTER(m.fours);
  S2BNN_IN_REGISTER(m.bytes);
  return m;
}

/* The ones of three words in each byte, at most 24: two bits have room for a third one, and four
 * for the sums of three times four. */
S2BNN_INLINE words ones_of_3(masks m, words a, words b, words c) {
  a = a - ((a >> 1) & m.pairs) + (c & m.pairs);
  b = b - ((b >> 1) & m.pairs) + ((c >> 1) & m.pairs);
  a = (a & m.fours) + ((a >> 2) & m.fours) + (b & m.fours) + ((b >> 2) & m.fours);
  return (a & m.bytes) + ((a >> 4) & m.bytes);
}
#endif

/* How many pixels share each load of a filter. Without vectors there are too few registers. */
#if S2BNN_LANES == 1
#define S2BNN_PIXELS 1
#else
#define S2BNN_PIXELS 4
#endif

#if defined(S2BNN_BY_3)
/* How many bits of 3 * `triples` words of a patch and a filter differ. Alone in a function, since
 * the registers of a small processor are just enough for it. */
S2BNN_OUTLINE static words count_by_3(const uint32_t* x, const uint32_t* f, int32_t triples) {
  const masks m = get_masks();
  words total = 0;
  while (triples > 0) {
    int32_t some = triples > S2BNN_MOST / 3 ? S2BNN_MOST / 3 : triples;
    words part = 0;
    triples -= some;
    for (; some > 0; --some) {
      part += ones_of_3(m, f[0] ^ x[0], f[S2BNN_BLOCK] ^ x[1], f[2 * S2BNN_BLOCK] ^ x[2]);
      f += 3 * S2BNN_BLOCK;
      x += 3;
    }
    total += in_words(part);
  }
  return total;
}

/* Counts how many products are -1, for a patch x and the first `channels` of a block of filters. */
S2BNN_INLINE void count_products(const uint32_t* x, int32_t step, const uint32_t* filter,
                                 int32_t products, int32_t channels, int32_t pixels,
                                 int32_t sums[S2BNN_PIXELS][S2BNN_BLOCK]) {
  const int32_t triples = products / 3;
  (void)step;
  (void)pixels;
  for (int32_t lane = 0; lane < channels; ++lane) {
    words total = count_by_3(x, filter + lane, triples);
    for (int32_t k = 3 * triples; k < products; ++k) {
      total += in_words(ones(filter[k * S2BNN_BLOCK + lane] ^ x[k]));
    }
    sums[0][lane] = (int32_t)total;
  }
}
#else
/* Counts how many products are -1, for `pixels` patches x (each `step` words behind the one
 * before) and the first `channels` of a block of filters. */
S2BNN_INLINE void count_products(const uint32_t* x, int32_t step, const uint32_t* filter,
                                 int32_t products, int32_t channels, int32_t pixels,
                                 int32_t sums[S2BNN_PIXELS][S2BNN_BLOCK]) {
  for (int32_t lane = 0; lane < channels; lane += S2BNN_LANES) {
    words total[S2BNN_PIXELS];
    for (int32_t p = 0; p < pixels; ++p) total[p] = S2BNN_SPLAT(0U);
    for (int32_t k = 0; k < products;) {
      const int32_t end = products - k > S2BNN_MOST ? k + S2BNN_MOST : products;
      words part[S2BNN_PIXELS];
      for (int32_t p = 0; p < pixels; ++p) part[p] = S2BNN_SPLAT(0U);
      for (; k < end; ++k) {
        words f;
        memcpy(&f, filter + k * S2BNN_BLOCK + lane, sizeof f);
        for (int32_t p = 0; p < pixels; ++p) part[p] += ones(f ^ S2BNN_SPLAT(x[p * step + k]));
      }
      for (int32_t p = 0; p < pixels; ++p) total[p] += in_words(part[p]);
    }
    for (int32_t p = 0; p < pixels; ++p) memcpy(&sums[p][lane], &total[p], sizeof total[p]);
  }
}
#endif

/* ---- Floats, a block of 16 at once -----------------------------------------------------------
 *
 * A block is a vector where the processor has float vectors, and four times four numbers where it
 * has none, since they stay in registers.
 */

#if defined(S2BNN_PORTABLE) || !defined(__GNUC__)
#define S2BNN_FLOATS 4
#elif defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__)
#define S2BNN_FLOATS 16
#else
#define S2BNN_FLOATS 4
#endif

#if S2BNN_FLOATS == 16
typedef float floats __attribute__((vector_size(64)));
#if defined(__AVX512F__) /* strict C99 does not contract a product and a sum by itself */
#define S2BNN_ADD_PRODUCT(sum, x, f) \
  (floats) _mm512_fmadd_ps(_mm512_set1_ps(x), (__m512)(f), (__m512)(sum))
#else
#define S2BNN_ADD_PRODUCT(sum, x, f) ((sum) + (x) * (f))
#endif
#define S2BNN_TILE 4 /* pixels that share each load of a filter */

S2BNN_INLINE void sum_products(const float* x, int32_t step, const float* filter, int32_t products,
                               int32_t channels, int32_t pixels,
                               float sums[S2BNN_TILE][S2BNN_BLOCK]) {
  floats sum[S2BNN_TILE];
  (void)channels; /* a vector is added up whole */
  for (int32_t p = 0; p < pixels; ++p) sum[p] = (floats){0};
  for (int32_t k = 0; k < products; ++k) {
    floats f;
    memcpy(&f, filter + k * S2BNN_BLOCK, sizeof f);
    for (int32_t p = 0; p < pixels; ++p) sum[p] = S2BNN_ADD_PRODUCT(sum[p], x[p * step + k], f);
  }
  for (int32_t p = 0; p < pixels; ++p) memcpy(sums[p], &sum[p], sizeof sum[p]);
}
#else
#define S2BNN_TILE 1

S2BNN_INLINE void sum_products(const float* x, int32_t step, const float* filter, int32_t products,
                               int32_t channels, int32_t pixels,
                               float sums[S2BNN_TILE][S2BNN_BLOCK]) {
  (void)step;
  (void)pixels;
  for (int32_t lane = 0; lane < channels; lane += 4) {
    float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    for (int32_t k = 0; k < products; ++k) {
      const float* f = filter + k * S2BNN_BLOCK + lane;
      sum0 += x[k] * f[0];
      sum1 += x[k] * f[1];
      sum2 += x[k] * f[2];
      sum3 += x[k] * f[3];
    }
    sums[0][lane] = sum0;
    sums[0][lane + 1] = sum1;
    sums[0][lane + 2] = sum2;
    sums[0][lane + 3] = sum3;
  }
}
#endif

/* ---- Windows --------------------------------------------------------------------------------- */

S2BNN_INLINE int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

S2BNN_INLINE float limited(float x, float low, float high) {
  return x < low ? low : x > high ? high : x;
}

S2BNN_INLINE int32_t taps_of(const s2bnn_window* w) {
  return w->rows_of_filter * w->columns_of_filter;
}

/* Whether the patch of a pixel is the pixel itself. */
S2BNN_INLINE int is_pixelwise(const s2bnn_window* w, int32_t groups) {
  return taps_of(w) == 1 && groups == 1 && w->top == 0 && w->left == 0;
}

S2BNN_INLINE int32_t input_row(const s2bnn_window* w, int32_t row, int32_t tap) {
  return row * w->row_stride - w->top + tap * w->row_dilation;
}

S2BNN_INLINE int32_t input_column(const s2bnn_window* w, int32_t column, int32_t tap) {
  return column * w->column_stride - w->left + tap * w->column_dilation;
}

S2BNN_INLINE int is_inside(const s2bnn_window* w, int32_t y, int32_t x) {
  return y >= 0 && y < w->height && x >= 0 && x < w->width;
}

/* Copies what the filter sees at one output pixel: `size` numbers of 4 bytes from each tap, the
 * first of them `from` numbers into its pixel. The padding is 0. */
static void gather(const s2bnn_window* w, const void* input, int32_t row, int32_t column,
                   int32_t from, int32_t size, void* patch) {
  const unsigned char* source = (const unsigned char*)input;
  unsigned char* target = (unsigned char*)patch;
  const int32_t x = input_column(w, column, 0);
  const int whole =
      w->column_dilation == 1 && size == w->depth && x >= 0 && x + w->columns_of_filter <= w->width;
  const size_t bytes = (size_t)size * 4U;
  for (int32_t i = 0; i < w->rows_of_filter; ++i) {
    const int32_t y = input_row(w, row, i);
    if (whole && y >= 0 && y < w->height) {
      const size_t run = bytes * (size_t)w->columns_of_filter;
      memcpy(target, source + ((size_t)(y * w->width + x) * (size_t)w->depth) * 4U, run);
      target += run;
      continue;
    }
    for (int32_t j = 0; j < w->columns_of_filter; ++j) {
      const int32_t at = input_column(w, column, j);
      if (is_inside(w, y, at)) {
        const size_t first = (size_t)(y * w->width + at) * (size_t)w->depth + (size_t)from;
        memcpy(target, source + first * 4U, bytes);
      } else {
        for (size_t k = 0; k < bytes; ++k) target[k] = 0;
      }
      target += bytes;
    }
  }
}

/* ---- Binary convolution ---------------------------------------------------------------------- */

/* The filter of a group, and how many blocks and products it has. */
typedef struct {
  int32_t words, channels, products;
  const uint32_t* filter;
} bits_group;

static bits_group group_of_bits(const s2bnn_bconv* layer, int32_t group) {
  bits_group g;
  g.words = layer->window.depth / layer->groups;
  g.channels = layer->channels / layer->groups;
  g.products = taps_of(&layer->window) * g.words;
  g.filter = layer->filter + group * ((g.channels + 15) / 16) * g.products * S2BNN_BLOCK;
  return g;
}

/* The sum of the filter's signs at each tap, which is what zero padding must not add. */
void s2bnn_bconv_taps(const s2bnn_bconv* layer, int32_t* taps) {
  const int32_t count = taps_of(&layer->window);
  for (int32_t group = 0; group < layer->groups; ++group) {
    const bits_group g = group_of_bits(layer, group);
    const uint32_t zeros[1] = {0};
    for (int32_t c = 0; c < g.channels; c += S2BNN_BLOCK) {
      const int32_t channels = smaller(g.channels - c, S2BNN_BLOCK);
      for (int32_t tap = 0; tap < count; ++tap) {
        int32_t* target = taps + tap * layer->channels + group * g.channels + c;
        for (int32_t l = 0; l < channels; ++l) target[l] = layer->group_channels;
        for (int32_t w = 0; w < g.words; ++w) {
          const int32_t k = tap * g.words + w;
          int32_t sums[S2BNN_PIXELS][S2BNN_BLOCK];
          count_products(zeros, 0, g.filter + c * g.products + k * S2BNN_BLOCK, 1, channels, 1,
                         sums);
          for (int32_t l = 0; l < channels; ++l) target[l] -= 2 * sums[0][l];
        }
      }
    }
  }
}

/* Whether the whole patch of a pixel lies in the map. */
S2BNN_INLINE int is_interior(const s2bnn_window* w, int32_t row, int32_t column) {
  return is_inside(w, input_row(w, row, 0), input_column(w, column, 0)) &&
         is_inside(w, input_row(w, row, w->rows_of_filter - 1),
                   input_column(w, column, w->columns_of_filter - 1));
}

/* Adds up, for 16 channels or fewer, the taps that lie in the padding. */
static void sum_padding(const s2bnn_bconv* layer, int32_t row, int32_t column, const int32_t* taps,
                        int32_t channels, int32_t padded[S2BNN_BLOCK]) {
  const s2bnn_window* w = &layer->window;
  for (int32_t l = 0; l < S2BNN_BLOCK; ++l) padded[l] = 0;
  for (int32_t i = 0; i < w->rows_of_filter; ++i) {
    for (int32_t j = 0; j < w->columns_of_filter; ++j) {
      if (is_inside(w, input_row(w, row, i), input_column(w, column, j))) continue;
      const int32_t* tap = taps + (i * w->columns_of_filter + j) * layer->channels;
      for (int32_t l = 0; l < channels; ++l) padded[l] += tap[l];
    }
  }
}

S2BNN_INLINE void write_floats(const s2bnn_bconv* layer, int32_t c, int32_t channels,
                               const int32_t* restrict sums, const int32_t* restrict padded,
                               float* restrict y) {
  const float* multiplier = layer->multiplier + c;
  const float* bias = layer->bias + c;
  if (layer->has_limits) {
    for (int32_t l = 0; l < channels; ++l) {
      int32_t doubled = 2 * sums[l] + (padded != NULL ? padded[l] : 0);
      doubled = doubled > layer->high ? layer->high : doubled;
      doubled = doubled < layer->low ? layer->low : doubled;
      y[l] = (float)doubled * multiplier[l] + bias[l];
    }
    return;
  }
  for (int32_t l = 0; l < channels; ++l) y[l] = (float)(2 * sums[l]) * multiplier[l] + bias[l];
  if (padded == NULL) return;
  for (int32_t l = 0; l < channels; ++l) y[l] += multiplier[l] * (float)padded[l];
}

static void write_bits(const s2bnn_bconv* layer, int32_t c, int32_t channels, const int32_t* sums,
                       const int32_t* padded, uint32_t* y) {
  for (int32_t l = 0; l < channels; ++l) {
    const int32_t doubled = 2 * sums[l] + (padded != NULL ? padded[l] : 0);
    const uint32_t bit = doubled > 2 * layer->thresholds[c + l] ? 1U : 0U;
    y[(c + l) / 32] |= bit << (c + l) % 32;
  }
}

/* One block of channels at `pixels` neighboring pixels, the first of them at `column`. */
S2BNN_INLINE void bconv_block(const s2bnn_bconv* layer, const bits_group* g, int32_t c,
                              int32_t first, int32_t row, int32_t column, int32_t pixels,
                              const uint32_t* x, int32_t step, const int32_t* taps, float* floats,
                              uint32_t* bits) {
  const int32_t channels = smaller(g->channels - c, S2BNN_BLOCK);
  int32_t sums[S2BNN_PIXELS][S2BNN_BLOCK], border[S2BNN_BLOCK];
  count_products(x, step, g->filter + c * g->products, g->products, channels, pixels, sums);
  for (int32_t p = 0; p < pixels; ++p) {
    const int32_t* padded = NULL;
    if (layer->zero_padding && !is_interior(&layer->window, row, column + p)) {
      sum_padding(layer, row, column + p, taps + first + c, channels, border);
      padded = border;
    }
    float* y = floats != NULL ? floats + (column + p) * layer->channels + first + c : NULL;
    if (y != NULL && channels == S2BNN_BLOCK) { /* the usual case, with a fixed length */
      write_floats(layer, first + c, S2BNN_BLOCK, sums[p], padded, y);
    } else if (y != NULL) {
      write_floats(layer, first + c, channels, sums[p], padded, y);
    } else {
      write_bits(layer, first + c, channels, sums[p], padded,
                 bits + (column + p) * ((layer->channels + 31) / 32));
    }
  }
}

static void bconv_row(const s2bnn_bconv* layer, const uint32_t* input, int32_t row,
                      uint32_t* patches, const int32_t* taps, float* floats, uint32_t* bits) {
  const s2bnn_window* w = &layer->window;
  const int pixelwise = is_pixelwise(w, layer->groups);
  for (int32_t group = 0; group < layer->groups; ++group) {
    const bits_group g = group_of_bits(layer, group);
    const int32_t first = group * g.channels;
    const uint32_t* x = pixelwise ? input + row * w->row_stride * w->width * w->depth : patches;
    const int32_t step = pixelwise ? w->column_stride * w->depth : g.products;
    for (int32_t column = 0; column < w->columns && !pixelwise; ++column) {
      gather(w, input, row, column, group * g.words, g.words, patches + column * g.products);
    }
    for (int32_t c = 0; c < g.channels; c += S2BNN_BLOCK) {
      int32_t column = 0;
      for (; column + S2BNN_PIXELS <= w->columns; column += S2BNN_PIXELS) {
        bconv_block(layer, &g, c, first, row, column, S2BNN_PIXELS, x + column * step, step, taps,
                    floats, bits);
      }
      for (; column < w->columns; ++column) {
        bconv_block(layer, &g, c, first, row, column, 1, x + column * step, step, taps, floats,
                    bits);
      }
    }
  }
}

void s2bnn_bconv_row(const s2bnn_bconv* layer, const uint32_t* input, int32_t row,
                     uint32_t* patches, const int32_t* taps, float* output) {
  bconv_row(layer, input, row, patches, taps, output, NULL);
}

void s2bnn_bconv_bits_row(const s2bnn_bconv* layer, const uint32_t* input, int32_t row,
                          uint32_t* patches, const int32_t* taps, uint32_t* output) {
  const int32_t size = layer->window.columns * ((layer->channels + 31) / 32);
  for (int32_t i = 0; i < size; ++i) output[i] = 0;
  bconv_row(layer, input, row, patches, taps, NULL, output);
}

/* ---- Between floats and bits ----------------------------------------------------------------- */

/* The bits of 32 numbers. NaN and -0 are not negative. */
S2BNN_INLINE uint32_t signs_of_32(const float* x) {
#if defined(__AVX512F__) && S2BNN_FLOATS == 16
  const __m512 zero = _mm512_setzero_ps();
  const uint32_t low = (uint32_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(x), zero, _CMP_LT_OQ);
  const uint32_t high = (uint32_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(x + 16), zero, _CMP_LT_OQ);
  return low | high << 16;
#elif defined(__AVX2__) && S2BNN_FLOATS == 16
  uint32_t bits = 0;
  for (int i = 0; i < 4; ++i) {
    const __m256 below = _mm256_cmp_ps(_mm256_loadu_ps(x + 8 * i), _mm256_setzero_ps(), _CMP_LT_OQ);
    bits |= (uint32_t)_mm256_movemask_ps(below) << 8 * i;
  }
  return bits;
#else
  uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= (uint32_t)(x[i] < 0.0F) << i;
  return bits;
#endif
}

void s2bnn_quantize(const float* input, int32_t n, int32_t channels, uint32_t* output) {
  for (int32_t pixel = 0; pixel < n; ++pixel) {
    int32_t c = 0;
    for (; c + 32 <= channels; c += 32) *output++ = signs_of_32(input + c);
    if (c < channels) {
      uint32_t bits = 0;
      for (int32_t i = 0; c + i < channels; ++i) bits |= (uint32_t)(input[c + i] < 0.0F) << i;
      *output++ = bits;
    }
    input += channels;
  }
}

void s2bnn_dequantize(const uint32_t* input, int32_t n, int32_t channels, float* output) {
  const int32_t size = (channels + 31) / 32;
  for (int32_t pixel = 0; pixel < n; ++pixel) {
    for (int32_t c = 0; c < channels; ++c) {
      output[c] = input[c / 32] >> c % 32 & 1U ? -1.0F : 1.0F;
    }
    input += size;
    output += channels;
  }
}

/* The maximum of signs is negative if all of them are. */
void s2bnn_bits_pool_row(const s2bnn_window* w, const uint32_t* input, int32_t row,
                         uint32_t* output) {
  for (int32_t column = 0; column < w->columns; ++column) {
    for (int32_t i = 0; i < w->depth; ++i) output[i] = 0xffffffffU;
    for (int32_t tap = 0; tap < taps_of(w); ++tap) {
      const int32_t y = input_row(w, row, tap / w->columns_of_filter);
      const int32_t x = input_column(w, column, tap % w->columns_of_filter);
      if (!is_inside(w, y, x)) continue;
      const uint32_t* source = input + (y * w->width + x) * w->depth;
      for (int32_t i = 0; i < w->depth; ++i) output[i] &= source[i];
    }
    output += w->depth;
  }
}

/* ---- Float windows --------------------------------------------------------------------------- */

S2BNN_INLINE void conv_block(const s2bnn_conv* layer, const float* filter, int32_t products,
                             int32_t first, int32_t channels, int32_t pixels, const float* x,
                             int32_t step, float* output) {
  float sums[S2BNN_TILE][S2BNN_BLOCK];
  sum_products(x, step, filter, products, channels, pixels, sums);
  for (int32_t p = 0; p < pixels; ++p) {
    float* restrict y = output + p * layer->channels + first;
    for (int32_t l = 0; l < channels; ++l) {
      y[l] = limited(sums[p][l] + layer->bias[first + l], layer->low, layer->high);
    }
  }
}

void s2bnn_conv_row(const s2bnn_conv* layer, const float* input, int32_t row, float* patches,
                    float* output) {
  const s2bnn_window* w = &layer->window;
  const int pixelwise = is_pixelwise(w, layer->groups);
  const int32_t depth = w->depth / layer->groups;
  const int32_t channels = layer->channels / layer->groups;
  const int32_t products = taps_of(w) * depth;
  const float* x = pixelwise ? input + row * w->row_stride * w->width * w->depth : patches;
  const int32_t step = pixelwise ? w->column_stride * w->depth : products;
  const float* filter = layer->filter;
  for (int32_t group = 0; group < layer->groups; ++group) {
    for (int32_t column = 0; column < w->columns && !pixelwise; ++column) {
      gather(w, input, row, column, group * depth, depth, patches + column * products);
    }
    for (int32_t c = 0; c < channels; c += S2BNN_BLOCK) {
      const int32_t some = smaller(channels - c, S2BNN_BLOCK);
      const int32_t first = group * channels + c;
      int32_t column = 0;
      for (; column + S2BNN_TILE <= w->columns; column += S2BNN_TILE) {
        conv_block(layer, filter, products, first, some, S2BNN_TILE, x + column * step, step,
                   output + column * layer->channels);
      }
      for (; column < w->columns; ++column) {
        conv_block(layer, filter, products, first, some, 1, x + column * step, step,
                   output + column * layer->channels);
      }
      filter += products * S2BNN_BLOCK;
    }
  }
}

void s2bnn_depthwise_row(const s2bnn_depthwise* layer, const float* input, int32_t row,
                         float* output) {
  const s2bnn_window* w = &layer->window;
  for (int32_t column = 0; column < w->columns; ++column) {
    float* restrict y = output + column * w->depth;
    s2bnn_fill(y, 0.0F, w->depth);
    for (int32_t tap = 0; tap < taps_of(w); ++tap) {
      const int32_t v = input_row(w, row, tap / w->columns_of_filter);
      const int32_t h = input_column(w, column, tap % w->columns_of_filter);
      if (!is_inside(w, v, h)) continue;
      const float* restrict x = input + (v * w->width + h) * w->depth;
      const float* restrict f = layer->filter + tap * w->depth;
      for (int32_t c = 0; c < w->depth; ++c) y[c] += x[c] * f[c];
    }
    for (int32_t c = 0; c < w->depth; ++c) {
      y[c] = limited(y[c] + layer->bias[c], layer->low, layer->high);
    }
  }
}

void s2bnn_max_pool_row(const s2bnn_window* w, const float* input, int32_t row, float* output) {
  for (int32_t column = 0; column < w->columns; ++column) {
    float* restrict y = output + column * w->depth;
    for (int32_t c = 0; c < w->depth; ++c) y[c] = -S2BNN_INFINITY;
    for (int32_t tap = 0; tap < taps_of(w); ++tap) {
      const int32_t v = input_row(w, row, tap / w->columns_of_filter);
      const int32_t h = input_column(w, column, tap % w->columns_of_filter);
      if (!is_inside(w, v, h)) continue;
      const float* restrict x = input + (v * w->width + h) * w->depth;
      for (int32_t c = 0; c < w->depth; ++c) y[c] = x[c] > y[c] ? x[c] : y[c];
    }
  }
}

/* The mean of the pixels inside of the map; the padding does not count. */
void s2bnn_average_pool_row(const s2bnn_window* w, const float* input, int32_t row, float* output) {
  for (int32_t column = 0; column < w->columns; ++column) {
    float* restrict y = output + column * w->depth;
    int32_t count = 0;
    s2bnn_fill(y, 0.0F, w->depth);
    for (int32_t tap = 0; tap < taps_of(w); ++tap) {
      const int32_t v = input_row(w, row, tap / w->columns_of_filter);
      const int32_t h = input_column(w, column, tap % w->columns_of_filter);
      if (!is_inside(w, v, h)) continue;
      const float* restrict x = input + (v * w->width + h) * w->depth;
      for (int32_t c = 0; c < w->depth; ++c) y[c] += x[c];
      ++count;
    }
    for (int32_t c = 0; c < w->depth; ++c) y[c] /= (float)count;
  }
}

/* ---- In place -------------------------------------------------------------------------------- */

void s2bnn_add(float* x, const float* restrict other, int32_t n) {
  for (int32_t i = 0; i < n; ++i) x[i] += other[i];
}

void s2bnn_subtract(float* x, const float* restrict other, int32_t n) {
  for (int32_t i = 0; i < n; ++i) x[i] -= other[i];
}

void s2bnn_subtract_from(float* x, const float* restrict other, int32_t n) {
  for (int32_t i = 0; i < n; ++i) x[i] = other[i] - x[i];
}

void s2bnn_multiply(float* x, const float* restrict other, int32_t n) {
  for (int32_t i = 0; i < n; ++i) x[i] *= other[i];
}

void s2bnn_add_channels(float* x, const float* vector, int32_t n, int32_t channels) {
  for (int32_t i = 0; i < n; ++i) s2bnn_add(x + i * channels, vector, channels);
}

void s2bnn_subtract_channels(float* x, const float* vector, int32_t n, int32_t channels) {
  for (int32_t i = 0; i < n; ++i) s2bnn_subtract(x + i * channels, vector, channels);
}

void s2bnn_subtract_from_channels(float* x, const float* vector, int32_t n, int32_t channels) {
  for (int32_t i = 0; i < n; ++i) s2bnn_subtract_from(x + i * channels, vector, channels);
}

void s2bnn_multiply_channels(float* x, const float* vector, int32_t n, int32_t channels) {
  for (int32_t i = 0; i < n; ++i) s2bnn_multiply(x + i * channels, vector, channels);
}

void s2bnn_prelu(float* x, const float* restrict slopes, int32_t n, int32_t channels) {
  for (int32_t i = 0; i < n; ++i) {
    for (int32_t c = 0; c < channels; ++c) x[c] = x[c] < 0.0F ? x[c] * slopes[c] : x[c];
    x += channels;
  }
}

void s2bnn_clamp(float* x, float low, float high, int32_t n) {
  for (int32_t i = 0; i < n; ++i) x[i] = limited(x[i], low, high);
}

void s2bnn_logistic(float* x, int32_t n) {
  for (int32_t i = 0; i < n; ++i) x[i] = 1.0F / (1.0F + s2bnn_exp_of(-x[i]));
}

void s2bnn_tanh(float* x, int32_t n) {
  for (int32_t i = 0; i < n; ++i) x[i] = s2bnn_tanh_of(x[i]);
}

void s2bnn_hard_swish(float* x, int32_t n) {
  for (int32_t i = 0; i < n; ++i) x[i] *= limited(x[i] + 3.0F, 0.0F, 6.0F) / 6.0F;
}

/* ---- Moves ----------------------------------------------------------------------------------- */

/* Writes `channels` of each pixel into pixels that have more of them. */
void s2bnn_put_channels(const float* input, int32_t n, int32_t channels, float* output,
                        int32_t all_channels) {
  const size_t size = (size_t)channels * sizeof input[0];
  for (int32_t i = 0; i < n; ++i) {
    memcpy(output + i * all_channels, input + i * channels, size);
  }
}

void s2bnn_reverse_pixels(const float* input, int32_t n, int32_t channels, float* output) {
  const size_t size = (size_t)channels * sizeof input[0];
  for (int32_t i = 0; i < n; ++i) {
    memcpy(output + (n - 1 - i) * channels, input + i * channels, size);
  }
}

void s2bnn_fill(float* x, float value, int32_t n) {
  for (int32_t i = 0; i < n; ++i) x[i] = value;
}

/* ---- Vectors --------------------------------------------------------------------------------- */

void s2bnn_mean(const float* input, int32_t n, int32_t channels, float* output) {
  s2bnn_fill(output, 0.0F, channels);
  for (int32_t i = 0; i < n; ++i) s2bnn_add(output, input + i * channels, channels);
  for (int32_t c = 0; c < channels; ++c) output[c] /= (float)n;
}

void s2bnn_dense8_run(const s2bnn_dense8* layer, const float* input, float* output) {
  const int8_t* weights = layer->weights;
  for (int32_t first = 0; first < layer->outputs; first += S2BNN_BLOCK) {
    float sums[S2BNN_BLOCK] = {0};
    for (int32_t k = 0; k < layer->inputs; ++k) {
      for (int32_t l = 0; l < S2BNN_BLOCK; ++l) sums[l] += input[k] * (float)weights[l];
      weights += S2BNN_BLOCK;
    }
    for (int32_t l = 0; l < smaller(layer->outputs - first, S2BNN_BLOCK); ++l) {
      const float y = sums[l] * layer->scale[first + l] + layer->bias[first + l];
      output[first + l] = limited(y, layer->low, layer->high);
    }
  }
}

void s2bnn_softmax(float* x, float beta, int32_t n, int32_t channels) {
  for (int32_t i = 0; i < n; ++i) {
    float largest = x[0];
    float sum = 0;
    for (int32_t c = 1; c < channels; ++c) largest = x[c] > largest ? x[c] : largest;
    for (int32_t c = 0; c < channels; ++c) {
      x[c] = s2bnn_exp_of((x[c] - largest) * beta);
      sum += x[c];
    }
    for (int32_t c = 0; c < channels; ++c) x[c] /= sum;
    x += channels;
  }
}

/* Zeros remain zeros: the smallest length is TensorFlow Lite's, 1e-6. */
void s2bnn_unit_length(float* x, int32_t n, int32_t channels) {
  for (int32_t i = 0; i < n; ++i) {
    float sum = 0;
    for (int32_t c = 0; c < channels; ++c) sum += x[c] * x[c];
    const float length = s2bnn_sqrt_of(sum);
    for (int32_t c = 0; c < channels; ++c) x[c] /= length > 1e-6F ? length : 1e-6F;
    x += channels;
  }
}
