/* A first convolution in whole numbers, put into an exported network in place of the float one. It
 * reads the picture in bytes, and makes a row of its output. See export_c_stem.py. */

static void stem_row(const s2bnn_window* w, int32_t channels, const uint8_t* picture, int32_t row,
                     float* output) {
  uint8_t patch[STEM_PRODUCTS];
  for (int32_t column = 0; column < w->columns; ++column) {
    uint8_t* target = patch;
    for (int32_t i = 0; i < w->rows_of_filter; ++i) {
      const int32_t y = row * w->row_stride - w->top + i;
      for (int32_t j = 0; j < w->columns_of_filter; ++j) {
        const int32_t x = column * w->column_stride - w->left + j;
        const int inside = y >= 0 && y < w->height && x >= 0 && x < w->width;
        const uint8_t* pixel = inside ? picture + (y * w->width + x) * w->depth : stem_padding;
        for (int32_t c = 0; c < w->depth; ++c) *target++ = pixel[c];
      }
    }
    for (int32_t c = 0; c < channels; c += 4) {
      const stem_weight* f = stem_filter + c * STEM_PRODUCTS;
      int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
      for (int32_t k = 0; k < STEM_PRODUCTS; ++k) {
        sum0 += patch[k] * f[0];
        sum1 += patch[k] * f[1];
        sum2 += patch[k] * f[2];
        sum3 += patch[k] * f[3];
        f += 4;
      }
      output[c] = (float)sum0 * stem_scale[c] + stem_bias[c];
      output[c + 1] = (float)sum1 * stem_scale[c + 1] + stem_bias[c + 1];
      output[c + 2] = (float)sum2 * stem_scale[c + 2] + stem_bias[c + 2];
      output[c + 3] = (float)sum3 * stem_scale[c + 3] + stem_bias[c + 3];
    }
    output += channels;
  }
}

/* The picture's floats become bytes in their own place. */
static void stem_bytes(const float* picture, int32_t n, uint8_t* bytes) {
  for (int32_t i = 0; i < n; ++i) bytes[i] = (uint8_t)(picture[i] + 0.5F);
}
