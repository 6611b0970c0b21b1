/* Search among pictures in C99: by codes of 128 bits, which `s2bnn-run index` made. */
#ifndef S2BNN_INDEX_H
#define S2BNN_INDEX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define S2BNN_CODE_WORDS 4
#define S2BNN_CODE_BITS (32 * S2BNN_CODE_WORDS)

/* Bit i of a code is the sign of a vector's product with direction i. */
typedef struct {
  int32_t pictures, dim;
  const float* center;       /* [dim], which is subtracted from vectors of unit length */
  const int16_t* directions; /* [128][dim], each in a unit of its own */
  const uint32_t* codes;     /* [pictures][S2BNN_CODE_WORDS] */
  const char* const* names;  /* [pictures] */
} s2bnn_index;

/* The code of an embedding. 0; 1 if the embedding is zero or not finite. */
int s2bnn_code(const s2bnn_index* index, const float* embedding, uint32_t* code);

/* Finds the `wanted` pictures most similar to an embedding, the most similar first, and of equal
 * ones the first in the index. Writes their numbers, and in how many of 128 bits each differs.
 * How many there are: fewer if the index has fewer, 0 if the embedding is zero or not finite. */
int32_t s2bnn_search(const s2bnn_index* index, const float* embedding, int32_t wanted,
                     int32_t* numbers, int32_t* differing);

/* The name of a picture; empty if there is none of that number. */
const char* s2bnn_picture_name(const s2bnn_index* index, int32_t number);

#ifdef __cplusplus
}
#endif

#endif
