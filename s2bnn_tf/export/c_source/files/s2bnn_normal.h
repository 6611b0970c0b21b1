/* What is normal, in C99: how unusual a picture is, by what `s2bnn-run normal` learned. */
#ifndef S2BNN_NORMAL_H
#define S2BNN_NORMAL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A Gaussian of the features of normal pictures. */
typedef struct {
  int32_t dim, directions_of;     /* numbers of an embedding, main directions */
  float threshold;                /* a higher score is unusual */
  float inverse_rest;             /* 1 / variance along every other direction */
  const float* mean;              /* [dim] */
  const float* directions;        /* [directions_of][dim], of unit length */
  const float* inverse_variances; /* [directions_of] */
} s2bnn_gaussian;

/* Places of normal pictures: channel c of one is center[c] + step[c] * its number. */
typedef struct {
  int32_t rows, columns, channels; /* of the network's map */
  int32_t places_of;
  float threshold;      /* a higher score is unusual */
  const int8_t* places; /* [places_of][channels] */
  const float* center;  /* [channels] */
  const float* step;    /* [channels] */
} s2bnn_places;

/* 1 if the picture is unusual, or if its numbers are not finite; 0 if it is normal. The score is
 * the distance from the mean in deviations. */
int s2bnn_unusual(const s2bnn_gaussian* normal, const float* embedding, float* score);

/* The same for a map; the score is the largest distance of a place, which is the mean of its
 * neighborhood of 3 x 3, to the nearest normal one. `place` has room for the channels. */
int s2bnn_unusual_map(const s2bnn_places* normal, const float* map, float* place, float* score);

#ifdef __cplusplus
}
#endif

#endif
