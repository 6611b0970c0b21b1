#include "s2bnn_index.h"

#include "s2bnn_math.h"

static int32_t ones(uint32_t v) { /* sums of neighbors, in 2, 4 and 8 bits */
  v -= (v >> 1) & 0x55555555U;
  v = (v & 0x33333333U) + ((v >> 2) & 0x33333333U);
  v = (v + (v >> 4)) & 0x0f0f0f0fU;
  return (int32_t)((v * 0x01010101U) >> 24);
}

int s2bnn_code(const s2bnn_index* index, const float* embedding, uint32_t* code) {
  float square = 0.0F;
  for (int32_t i = 0; i < index->dim; ++i) square += embedding[i] * embedding[i];
  const float length = s2bnn_sqrt_of(square);
  if (!(length > 0.0F && length < S2BNN_INFINITY)) return 1;
  const float inverse = 1.0F / length;
  for (int32_t word = 0; word < S2BNN_CODE_WORDS; ++word) code[word] = 0;
  for (int32_t bit = 0; bit < S2BNN_CODE_BITS; ++bit) {
    const int16_t* direction = index->directions + bit * index->dim;
    float sum = 0.0F;
    for (int32_t i = 0; i < index->dim; ++i) {
      sum += (embedding[i] * inverse - index->center[i]) * (float)direction[i];
    }
    if (sum > 0.0F) code[bit / 32] |= (uint32_t)1 << (bit % 32);
  }
  return 0;
}

int32_t s2bnn_search(const s2bnn_index* index, const float* embedding, int32_t wanted,
                     int32_t* numbers, int32_t* differing) {
  uint32_t code[S2BNN_CODE_WORDS];
  int32_t found = 0;
  if (wanted < 1 || s2bnn_code(index, embedding, code) != 0) return 0;
  for (int32_t picture = 0; picture < index->pictures; ++picture) {
    const uint32_t* other = index->codes + picture * S2BNN_CODE_WORDS;
    int32_t bits = 0;
    for (int32_t word = 0; word < S2BNN_CODE_WORDS; ++word) bits += ones(code[word] ^ other[word]);
    if (found == wanted && bits >= differing[found - 1]) continue;
    int32_t place = found < wanted ? found++ : found - 1;
    for (; place > 0 && differing[place - 1] > bits; --place) {
      numbers[place] = numbers[place - 1];
      differing[place] = differing[place - 1];
    }
    numbers[place] = picture;
    differing[place] = bits;
  }
  return found;
}

const char* s2bnn_picture_name(const s2bnn_index* index, int32_t number) {
  return number >= 0 && number < index->pictures ? index->names[number] : "";
}
