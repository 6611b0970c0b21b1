/* Classes without training, in C99: the nearest class mean by cosine, or none of them.
 *
 * The classes of the export stay in flash, with rows in 8 bits. A table in RAM has places for
 * further ones, and for those of flash to which examples are added: the first one moves the class
 * to a free place.
 */
#ifndef S2BNN_CLASSES_H
#define S2BNN_CLASSES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define S2BNN_CLASS_NAME 32 /* bytes of a name in the table, with the 0 at its end */

/* The classes of the export. Class k has the rows first_rows[k] to first_rows[k + 1]. */
typedef struct {
  int32_t classes, dim;
  int32_t capacity;             /* places of the table */
  uint32_t identity;            /* the bytes of another export's table are refused */
  const int8_t* rows;           /* [rows][dim] */
  const int32_t* first_rows;    /* [classes + 1] */
  const float* inverse_lengths; /* of the rows */
  const float* sum_lengths;     /* of the sums of examples, [classes] */
  const float* thresholds;      /* the smallest cosine with which a class is named, [classes] */
  float further_threshold;      /* the same for classes that are enrolled later */
  const char* const* names;     /* [classes] */
} s2bnn_classes;

/* A place of the table: a class of flash that was moved, or number classes + place. */
typedef struct {
  int32_t is_used;
  int32_t number;
  char name[S2BNN_CLASS_NAME];
} s2bnn_place;

/* All zeros at the beginning. */
typedef struct {
  unsigned char* states; /* of the classes in flash: 0, S2BNN_FORGOTTEN or S2BNN_MOVED */
  s2bnn_place* places;   /* [capacity] */
  float* sums;           /* of unit vectors, [capacity][dim] */
} s2bnn_table;

#define S2BNN_FORGOTTEN 1
#define S2BNN_MOVED 2

/* The number of the nearest class, and its cosine; -1 without a class, or for an embedding that is
 * zero or not finite. */
int32_t s2bnn_nearest(const s2bnn_classes* classes, const s2bnn_table* table,
                      const float* embedding, float* score);

/* The same; -1 also if the embedding is less similar than the threshold. */
int32_t s2bnn_classify(const s2bnn_classes* classes, const s2bnn_table* table,
                       const float* embedding, float* score);

/* The name of a class; empty if there is none of that number. */
const char* s2bnn_class_name(const s2bnn_classes* classes, const s2bnn_table* table,
                             int32_t number);

/* Add an example to a new or known class. Its number; -1 if the table is full, the name is empty
 * or too long, the embedding is zero or not finite, or the class has several prototypes. */
int32_t s2bnn_enroll(const s2bnn_classes* classes, s2bnn_table* table, const char* name,
                     const float* embedding);

/* Add an example to a known class. 0; 1 for the same reasons, or if there is no such class. */
int s2bnn_confirm(const s2bnn_classes* classes, s2bnn_table* table, int32_t number,
                  const float* embedding);

/* Remove a class. 0; 1 if there is no such class. */
int s2bnn_forget(const s2bnn_classes* classes, s2bnn_table* table, int32_t number);

/* The bytes of a table, the same on every processor. */
#define S2BNN_TABLE_BYTES(classes, dim, capacity) \
  (8 + (classes) + (capacity) * (8 + S2BNN_CLASS_NAME + 4 * (dim)))

void s2bnn_save(const s2bnn_classes* classes, const s2bnn_table* table, unsigned char* bytes);

/* 0; 1, and the table as it was, if the bytes are damaged or of another export. */
int s2bnn_load(const s2bnn_classes* classes, s2bnn_table* table, const unsigned char* bytes);

#ifdef __cplusplus
}
#endif

#endif
