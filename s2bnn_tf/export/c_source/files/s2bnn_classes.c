#include "s2bnn_classes.h"

#include <string.h>

#include "s2bnn_math.h"

static float dot(const float* a, const float* b, int32_t dim) {
  float sum = 0.0F;
  for (int32_t i = 0; i < dim; ++i) sum += a[i] * b[i];
  return sum;
}

static float dot_row(const int8_t* row, const float* b, int32_t dim) {
  float sum = 0.0F;
  for (int32_t i = 0; i < dim; ++i) sum += (float)row[i] * b[i];
  return sum;
}

/* 1 / length of an embedding; 0 if it is zero or not finite. */
static float inverse_length(const float* embedding, int32_t dim) {
  const float length = s2bnn_sqrt_of(dot(embedding, embedding, dim));
  return length > 0.0F && length < S2BNN_INFINITY ? 1.0F / length : 0.0F;
}

static int is_known(const s2bnn_classes* c, const s2bnn_table* t, int32_t number) {
  if (number < 0 || number >= c->classes + c->capacity) return 0;
  if (number < c->classes) return t->states[number] != S2BNN_FORGOTTEN;
  return t->places[number - c->classes].is_used;
}

/* The place of a class, or -1 if it is in flash. */
static int32_t place_of(const s2bnn_classes* c, const s2bnn_table* t, int32_t number) {
  for (int32_t place = 0; place < c->capacity; ++place) {
    if (t->places[place].is_used && t->places[place].number == number) return place;
  }
  return -1;
}

static int32_t free_place(const s2bnn_classes* c, const s2bnn_table* t) {
  for (int32_t place = 0; place < c->capacity; ++place) {
    if (!t->places[place].is_used) return place;
  }
  return -1;
}

static int same_name(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

int32_t s2bnn_nearest(const s2bnn_classes* c, const s2bnn_table* t, const float* embedding,
                      float* score) {
  const float inverse = inverse_length(embedding, c->dim);
  float best = -2.0F;
  int32_t nearest = -1;
  if (inverse > 0.0F) {
    for (int32_t k = 0; k < c->classes; ++k) {
      if (t->states[k] != 0) continue;
      for (int32_t row = c->first_rows[k]; row < c->first_rows[k + 1]; ++row) {
        const float sum = dot_row(c->rows + row * c->dim, embedding, c->dim);
        const float cosine = sum * c->inverse_lengths[row] * inverse;
        if (cosine > best) {
          best = cosine;
          nearest = k;
        }
      }
    }
    for (int32_t place = 0; place < c->capacity; ++place) {
      const float* sum = t->sums + place * c->dim;
      if (!t->places[place].is_used) continue;
      const float cosine = dot(sum, embedding, c->dim) * inverse_length(sum, c->dim) * inverse;
      if (cosine > best) {
        best = cosine;
        nearest = t->places[place].number;
      }
    }
  }
  if (score != NULL) *score = nearest < 0 ? 0.0F : best;
  return nearest;
}

int32_t s2bnn_classify(const s2bnn_classes* c, const s2bnn_table* t, const float* embedding,
                       float* score) {
  float cosine;
  const int32_t nearest = s2bnn_nearest(c, t, embedding, &cosine);
  if (score != NULL) *score = cosine;
  if (nearest < 0) return -1;
  const float least = nearest < c->classes ? c->thresholds[nearest] : c->further_threshold;
  return cosine >= least ? nearest : -1;
}

const char* s2bnn_class_name(const s2bnn_classes* c, const s2bnn_table* t, int32_t number) {
  if (!is_known(c, t, number)) return "";
  return number < c->classes ? c->names[number] : t->places[number - c->classes].name;
}

/* A place without examples. */
static void empty(const s2bnn_classes* c, s2bnn_table* t, int32_t place) {
  for (int32_t i = 0; i < S2BNN_CLASS_NAME; ++i) t->places[place].name[i] = '\0';
  for (int32_t i = 0; i < c->dim; ++i) t->sums[place * c->dim + i] = 0.0F;
}

/* Take a class out of flash. Its place; -1 if there is none for it. */
static int32_t move(const s2bnn_classes* c, s2bnn_table* t, int32_t number) {
  const int32_t place = free_place(c, t), row = c->first_rows[number];
  if (place < 0 || c->first_rows[number + 1] != row + 1) return -1;
  const float scale = c->sum_lengths[number] * c->inverse_lengths[row];
  empty(c, t, place);
  for (int32_t i = 0; i < c->dim; ++i) {
    t->sums[place * c->dim + i] = (float)c->rows[row * c->dim + i] * scale;
  }
  t->places[place].is_used = 1;
  t->places[place].number = number;
  t->states[number] = S2BNN_MOVED;
  return place;
}

int s2bnn_confirm(const s2bnn_classes* c, s2bnn_table* t, int32_t number, const float* embedding) {
  const float inverse = inverse_length(embedding, c->dim);
  if (!is_known(c, t, number) || !(inverse > 0.0F)) return 1;
  int32_t place = place_of(c, t, number);
  if (place < 0) place = move(c, t, number);
  if (place < 0) return 1;
  for (int32_t i = 0; i < c->dim; ++i) t->sums[place * c->dim + i] += embedding[i] * inverse;
  return 0;
}

int32_t s2bnn_enroll(const s2bnn_classes* c, s2bnn_table* t, const char* name,
                     const float* embedding) {
  size_t length = 0;
  for (int32_t number = 0; number < c->classes + c->capacity; ++number) {
    if (is_known(c, t, number) && same_name(s2bnn_class_name(c, t, number), name) && *name) {
      return s2bnn_confirm(c, t, number, embedding) == 0 ? number : -1;
    }
  }
  while (length < S2BNN_CLASS_NAME && name[length] != '\0') ++length;
  const int32_t place = free_place(c, t);
  if (place < 0 || length == 0 || length == S2BNN_CLASS_NAME) return -1;
  if (!(inverse_length(embedding, c->dim) > 0.0F)) return -1;
  empty(c, t, place);
  memcpy(t->places[place].name, name, length);
  t->places[place].is_used = 1;
  t->places[place].number = c->classes + place;
  (void)s2bnn_confirm(c, t, c->classes + place, embedding);
  return c->classes + place;
}

int s2bnn_forget(const s2bnn_classes* c, s2bnn_table* t, int32_t number) {
  if (!is_known(c, t, number)) return 1;
  const int32_t place = place_of(c, t, number);
  if (place >= 0) t->places[place].is_used = 0;
  if (number < c->classes) t->states[number] = S2BNN_FORGOTTEN;
  return 0;
}

/* CRC-32, as in zip files. */
static uint32_t checksum(const unsigned char* bytes, size_t count) {
  uint32_t crc = 0xffffffffU;
  for (size_t i = 0; i < count; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0U ? 0xedb88320U : 0U);
  }
  return ~crc;
}

static unsigned char* put(unsigned char* bytes, uint32_t value) {
  for (int i = 0; i < 4; ++i) *bytes++ = (unsigned char)((value >> (8 * i)) & 255U);
  return bytes;
}

static uint32_t get(const unsigned char* bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= (uint32_t)bytes[i] << (8 * i);
  return value;
}

static size_t place_bytes(const s2bnn_classes* c) {
  return 8 + S2BNN_CLASS_NAME + 4 * (size_t)c->dim;
}

void s2bnn_save(const s2bnn_classes* c, const s2bnn_table* t, unsigned char* bytes) {
  unsigned char* at = put(bytes, c->identity);
  memcpy(at, t->states, (size_t)c->classes);
  at += c->classes;
  for (int32_t place = 0; place < c->capacity; ++place) {
    at = put(at, t->places[place].is_used ? 1U : 0U);
    at = put(at, (uint32_t)t->places[place].number);
    memcpy(at, t->places[place].name, S2BNN_CLASS_NAME);
    at += S2BNN_CLASS_NAME;
    for (int32_t i = 0; i < c->dim; ++i) {
      uint32_t bits;
      memcpy(&bits, &t->sums[place * c->dim + i], sizeof bits);
      at = put(at, bits);
    }
  }
  (void)put(at, checksum(bytes, (size_t)(at - bytes)));
}

/* Whether a place of a table from elsewhere can be used. */
static int is_good(const s2bnn_classes* c, const unsigned char* states, const unsigned char* at,
                   int32_t place) {
  const uint32_t is_used = get(at), number = get(at + 4);
  if (is_used == 0U) return 1;
  if (is_used != 1U || at[8 + S2BNN_CLASS_NAME - 1] != 0) return 0;
  for (int32_t i = 0; i < c->dim; ++i) {
    /* the exponent of what is infinite or no number */
    if ((get(at + 8 + S2BNN_CLASS_NAME + 4 * i) & 0x7f800000U) == 0x7f800000U) return 0;
  }
  if (number == (uint32_t)(c->classes + place)) return at[8] != 0;
  return number < (uint32_t)c->classes && states[number] == S2BNN_MOVED;
}

int s2bnn_load(const s2bnn_classes* c, s2bnn_table* t, const unsigned char* bytes) {
  const unsigned char* states = bytes + 4;
  const unsigned char* first = states + c->classes;
  const unsigned char* end = first + (size_t)c->capacity * place_bytes(c);
  if (get(bytes) != c->identity || get(end) != checksum(bytes, (size_t)(end - bytes))) return 1;
  for (int32_t k = 0; k < c->classes; ++k) {
    if (states[k] > S2BNN_MOVED) return 1;
  }
  for (int32_t place = 0; place < c->capacity; ++place) {
    if (!is_good(c, states, first + (size_t)place * place_bytes(c), place)) return 1;
  }
  memcpy(t->states, states, (size_t)c->classes);
  for (int32_t place = 0; place < c->capacity; ++place) {
    const unsigned char* at = first + (size_t)place * place_bytes(c);
    t->places[place].is_used = (int32_t)get(at);
    t->places[place].number = (int32_t)get(at + 4);
    memcpy(t->places[place].name, at + 8, S2BNN_CLASS_NAME);
    for (int32_t i = 0; i < c->dim; ++i) {
      const uint32_t bits = get(at + 8 + S2BNN_CLASS_NAME + 4 * i);
      memcpy(&t->sums[place * c->dim + i], &bits, sizeof bits);
    }
  }
  return 0;
}
