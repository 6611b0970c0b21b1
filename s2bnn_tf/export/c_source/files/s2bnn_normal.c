#include "s2bnn_normal.h"

#include <stddef.h>

#include "s2bnn_math.h"

/* A score that is no number is unusual as well. */
static int is_unusual(float found, float threshold, float* score) {
  if (score != NULL) *score = found;
  return found <= threshold ? 0 : 1;
}

int s2bnn_unusual(const s2bnn_gaussian* normal, const float* embedding, float* score) {
  float rest = 0.0F, squares = 0.0F;
  for (int32_t i = 0; i < normal->dim; ++i) {
    const float x = embedding[i] - normal->mean[i];
    rest += x * x;
  }
  for (int32_t k = 0; k < normal->directions_of; ++k) {
    const float* direction = normal->directions + k * normal->dim;
    float along = 0.0F;
    for (int32_t i = 0; i < normal->dim; ++i) {
      along += (embedding[i] - normal->mean[i]) * direction[i];
    }
    squares += along * along * normal->inverse_variances[k];
    rest -= along * along;
  }
  /* what rounding leaves of a rest of zero; the sum stays no number if the rest is none */
  squares += (rest < 0.0F ? 0.0F : rest) * normal->inverse_rest;
  return is_unusual(s2bnn_sqrt_of(squares / (float)normal->dim), normal->threshold, score);
}

/* The mean of a place and its neighbors, at borders of those that there are, less the center. */
static void take_place(const s2bnn_places* n, const float* map, int32_t row, int32_t column,
                       float* place) {
  int32_t count = 0;
  for (int32_t c = 0; c < n->channels; ++c) place[c] = 0.0F;
  for (int32_t y = row - 1; y <= row + 1; ++y) {
    for (int32_t x = column - 1; x <= column + 1; ++x) {
      if (y < 0 || y >= n->rows || x < 0 || x >= n->columns) continue;
      const float* pixel = map + (y * n->columns + x) * n->channels;
      for (int32_t c = 0; c < n->channels; ++c) place[c] += pixel[c];
      ++count;
    }
  }
  for (int32_t c = 0; c < n->channels; ++c) place[c] = place[c] / (float)count - n->center[c];
}

int s2bnn_unusual_map(const s2bnn_places* n, const float* map, float* place, float* score) {
  float largest = 0.0F;
  for (int32_t at = 0; at < n->rows * n->columns; ++at) {
    float nearest = S2BNN_INFINITY;
    take_place(n, map, at / n->columns, at % n->columns, place);
    for (int32_t k = 0; k < n->places_of; ++k) {
      const int8_t* known = n->places + k * n->channels;
      float square = 0.0F;
      for (int32_t c = 0; c < n->channels; ++c) {
        const float x = place[c] - n->step[c] * (float)known[c];
        square += x * x;
      }
      nearest = square < nearest ? square : nearest; /* infinite if there is no number */
    }
    largest = nearest > largest ? nearest : largest;
  }
  return is_unusual(s2bnn_sqrt_of(largest), n->threshold, score);
}
