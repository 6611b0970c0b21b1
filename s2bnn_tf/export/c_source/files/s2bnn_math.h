/* The functions and numbers that the kernels take from math.h. */
#ifndef S2BNN_MATH_H
#define S2BNN_MATH_H

#include <math.h>

#define S2BNN_INFINITY INFINITY
#define S2BNN_NAN NAN

static inline float s2bnn_exp_of(float x) { return expf(x); }
static inline float s2bnn_tanh_of(float x) { return tanhf(x); }
static inline float s2bnn_sqrt_of(float x) { return sqrtf(x); }

#endif
