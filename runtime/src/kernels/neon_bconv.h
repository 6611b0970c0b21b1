// The inner loops of the NEON kernels, in assembly.
//
// CNT counts the bits of each byte. A byte of a pixel, 8 channels, is compared with the same 8
// channels of 16 filters at once:
//
//     weights   w0  w1  w2  ...  w15     a byte of 16 output channels
//     pixel     x   x   x   ...  x       the same byte in all lanes (LD2R, for two steps)
//     EOR, CNT  d0  d1  d2  ...  d15     differing bits
//     ADD       s0 += d0 ...             one byte each; after 30 steps, 30 * 8 = 240, they move to
//                                        16 bits
//
// No lane is ever added to another, so a tile ends in the order in which it is stored. Sixteen
// registers hold the sums of 4 pixels by 64 channels, or of 8 pixels by 32. Two steps, 4,096
// multiply-adds, are 96 of these instructions, 8 or 10 that load and 2 for the loop.
//
// A processor that runs in order waits six cycles for each result (Cortex-A53), and four registers
// are left for what lies between EOR and ADD. So groups of four overlap: with E, C and A for the
// three instructions, and a dash for those of the group before, the order
//
//     E0 A1' E1 C3' A2' E2 C0 C1 A3' E3 C2 A0
//
// takes 13 cycles for 12 instructions, if the loads fit in between. Processors that reorder
// instructions do not mind. Compilers would, and would move loads until the sums no longer fit into
// registers; hence whole loops in assembly.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace s2bnn {

// A run of filter taps: `rows` times `length` bytes of each pixel, `row_step` bytes apart.
struct ByteRows {
  int rows;
  size_t length;  // even, because a word has four bytes
  size_t row_step;
};

constexpr size_t kBytePairsUntilOverflow = 15;  // also in the assembly

// clang-format off

// Registers: v0-v3 what lies between; v16-v31 sums; x, w and the sums differ.
#define S2BNN_EOR(t, x, w) "eor v" #t ".16b, v" #x ".16b, v" #w ".16b\n\t"
#define S2BNN_CNT(t) "cnt v" #t ".16b, v" #t ".16b\n\t"
#define S2BNN_ADD(s, t) "add v" #s ".16b, v" #s ".16b, v" #t ".16b\n\t"
#define S2BNN_LOAD_PIXEL(a, b, x) "ld2r {v" #a ".16b, v" #b ".16b}, [%[" #x "]], #2\n\t"
#define S2BNN_LOAD_WEIGHTS(a, b, step) "ldp q" #a ", q" #b ", [%[weights]], #" #step "\n\t"

// Four comparisons, x0 with w0 to x3 with w3. The sum of the first one is s0; p1 to p3 are those of
// the group before. load0 to load3 follow the EOR with the same number.
#define S2BNN_GROUP(x0, w0, x1, w1, x2, w2, x3, w3, s0, p1, p2, p3, load0, load1, load2, load3) \
  S2BNN_EOR(0, x0, w0) load0 S2BNN_ADD(p1, 1)                                                   \
  S2BNN_EOR(1, x1, w1) load1 S2BNN_CNT(3) S2BNN_ADD(p2, 2)                                      \
  S2BNN_EOR(2, x2, w2) load2 S2BNN_CNT(0) S2BNN_CNT(1) S2BNN_ADD(p3, 3)                         \
  S2BNN_EOR(3, x3, w3) load3 S2BNN_CNT(2) S2BNN_ADD(s0, 0)

// Ends the last group.
#define S2BNN_DRAIN(p1, p2, p3) \
  S2BNN_CNT(3) S2BNN_ADD(p1, 1) S2BNN_ADD(p2, 2) S2BNN_ADD(p3, 3)

#define S2BNN_CLEAR(v) "movi v" #v ".4s, #0\n\t"

// Nothing lies between EOR and ADD.
#define S2BNN_NOTHING S2BNN_CLEAR(0) S2BNN_CLEAR(1) S2BNN_CLEAR(2) S2BNN_CLEAR(3)

// Moves the byte sums of 16 channels to 16 bits: the first time by writing them, then by adding.
#define S2BNN_WRITE(s, at)            \
  "ushll v0.8h, v" #s ".8b, #0\n\t"   \
  "ushll2 v1.8h, v" #s ".16b, #0\n\t" \
  "stp q0, q1, [%[sums], #" #at "]\n\t" S2BNN_CLEAR(s)
#define S2BNN_WIDEN(s, at)                \
  "ldp q0, q1, [%[sums], #" #at "]\n\t"   \
  "uaddw v0.8h, v0.8h, v" #s ".8b\n\t"    \
  "uaddw2 v1.8h, v1.8h, v" #s ".16b\n\t"  \
  "stp q0, q1, [%[sums], #" #at "]\n\t" S2BNN_CLEAR(s)

// Four pixels by 64 channels: v16 + 4 w + p holds channels 16 w and pixel p.
#define S2BNN_ALL_4X64(move)                                                          \
  move(16, 0) move(20, 32) move(24, 64) move(28, 96) move(17, 128) move(21, 160)      \
  move(25, 192) move(29, 224) move(18, 256) move(22, 288) move(26, 320) move(30, 352) \
  move(19, 384) move(23, 416) move(27, 448) move(31, 480)

// Eight pixels by 32 channels: v16 + 2 p + w.
#define S2BNN_ALL_8X32(move)                                                          \
  move(16, 0) move(17, 32) move(18, 128) move(19, 160) move(20, 256) move(21, 288)    \
  move(22, 384) move(23, 416) move(24, 512) move(25, 544) move(26, 640) move(27, 672) \
  move(28, 768) move(29, 800) move(30, 896) move(31, 928)

#define S2BNN_CLEAR_SUM(s, at) S2BNN_CLEAR(s)

// The loops around `body`, which takes two bytes of each pixel. `first` loads the pixels' first
// bytes, `step` moves the pixels to the next row.
#define S2BNN_LOOPS(first, body, drain, all, step)                  \
  all(S2BNN_CLEAR_SUM) S2BNN_NOTHING                                \
  "1:\n\t" first                                                    \
  "mov %[left], %[length]\n"                                        \
  "2:\n\t"                                                          \
  "cmp %[left], %[room]\n\t"                                        \
  "csel %[run], %[left], %[room], lo\n\t"                           \
  "sub %[left], %[left], %[run]\n\t"                                \
  "sub %[room], %[room], %[run]\n"                                  \
  "3:\n\t" body                                                     \
  "subs %[run], %[run], #1\n\t"                                     \
  "b.ne 3b\n\t"                                                     \
  "cbnz %[room], 5f\n\t" drain                                      \
  "cbz %[written], 4f\n\t" all(S2BNN_WIDEN) S2BNN_NOTHING           \
  "mov %[room], #15\n\t"                                            \
  "b 5f\n"                                                          \
  "4:\n\t" all(S2BNN_WRITE) S2BNN_NOTHING                           \
  "mov %[room], #15\n\t"                                            \
  "mov %[written], #1\n"                                            \
  "5:\n\t"                                                          \
  "cbnz %[left], 2b\n\t" step                                       \
  "subs %[rows], %[rows], #1\n\t"                                   \
  "b.ne 1b\n\t" drain                                               \
  "cbz %[written], 6f\n\t" all(S2BNN_WIDEN)                         \
  "b 7f\n"                                                          \
  "6:\n\t" all(S2BNN_WRITE)                                         \
  "7:\n\t"

#define S2BNN_REGISTERS                                                                         \
  "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",       \
  "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26",    \
  "v27", "v28", "v29", "v30", "v31", "cc", "memory"

// Counts the bits in which four pixels and 64 filters differ: pixel p, channel c at sums[64 p + c].
// The sums are added to what is there if that is `valid`. Returns the next row's weights.
inline const uint8_t* count_4x64(const uint8_t* const* x, const ByteRows& bytes,
                                 const uint8_t* weights, uint16_t* sums, bool valid) {
  const uint8_t *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
  size_t rows = bytes.rows, left, run, room = kBytePairsUntilOverflow, written = valid;
  // Pixels are loaded one step ahead, also behind the last step of a row.
  const size_t skip = bytes.row_step - bytes.length - 2;
  asm volatile(
      S2BNN_LOAD_WEIGHTS(12, 13, 32)
      S2BNN_LOOPS(
          S2BNN_LOAD_PIXEL(4, 5, x0) S2BNN_LOAD_PIXEL(6, 7, x1)
          S2BNN_LOAD_PIXEL(8, 9, x2) S2BNN_LOAD_PIXEL(10, 11, x3),
          S2BNN_GROUP(4, 12, 6, 12, 8, 12, 10, 12, 16, 29, 30, 31,
                      S2BNN_LOAD_WEIGHTS(14, 15, 32), , , )
          S2BNN_GROUP(4, 13, 6, 13, 8, 13, 10, 13, 20, 17, 18, 19, , , , )
          S2BNN_GROUP(4, 14, 6, 14, 8, 14, 10, 14, 24, 21, 22, 23,
                      S2BNN_LOAD_WEIGHTS(12, 13, 32), , , )
          S2BNN_GROUP(4, 15, 6, 15, 8, 15, 10, 15, 28, 25, 26, 27, , , , )
          S2BNN_GROUP(5, 12, 7, 12, 9, 12, 11, 12, 16, 29, 30, 31,
                      S2BNN_LOAD_WEIGHTS(14, 15, 32), , , )
          S2BNN_GROUP(5, 13, 7, 13, 9, 13, 11, 13, 20, 17, 18, 19, , , , )
          S2BNN_GROUP(5, 14, 7, 14, 9, 14, 11, 14, 24, 21, 22, 23,
                      S2BNN_LOAD_WEIGHTS(12, 13, 32), , , )
          S2BNN_GROUP(5, 15, 7, 15, 9, 15, 11, 15, 28, 25, 26, 27,
                      S2BNN_LOAD_PIXEL(4, 5, x0), S2BNN_LOAD_PIXEL(6, 7, x1),
                      S2BNN_LOAD_PIXEL(8, 9, x2), S2BNN_LOAD_PIXEL(10, 11, x3)),
          S2BNN_DRAIN(29, 30, 31), S2BNN_ALL_4X64,
          "add %[x0], %[x0], %[skip]\n\tadd %[x1], %[x1], %[skip]\n\t"
          "add %[x2], %[x2], %[skip]\n\tadd %[x3], %[x3], %[skip]\n\t")
      : [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3), [weights] "+r"(weights),
        [rows] "+r"(rows), [room] "+r"(room), [written] "+r"(written), [left] "=&r"(left),
        [run] "=&r"(run)
      : [sums] "r"(sums), [length] "r"(bytes.length / 2), [skip] "r"(skip)
      : S2BNN_REGISTERS);
  return weights - 32;
}

// The same for eight pixels and 32 filters, with weights that are packed for 64.
inline const uint8_t* count_8x32(const uint8_t* const* x, const ByteRows& bytes,
                                 const uint8_t* weights, uint16_t* sums, bool valid) {
  const uint8_t *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
  const uint8_t *x4 = x[4], *x5 = x[5], *x6 = x[6], *x7 = x[7];
  size_t rows = bytes.rows, left, run, room = kBytePairsUntilOverflow, written = valid;
  const size_t skip = bytes.row_step - bytes.length;
  asm volatile(
      S2BNN_LOAD_WEIGHTS(12, 13, 64) S2BNN_LOAD_WEIGHTS(14, 15, 64)
      S2BNN_LOOPS(
          S2BNN_LOAD_PIXEL(4, 5, x0) S2BNN_LOAD_PIXEL(6, 7, x1),
          S2BNN_GROUP(4, 12, 4, 13, 5, 14, 5, 15, 16, 31, 30, 31, , , , S2BNN_LOAD_PIXEL(4, 5, x2))
          S2BNN_GROUP(6, 12, 6, 13, 7, 14, 7, 15, 18, 17, 16, 17, , , , S2BNN_LOAD_PIXEL(6, 7, x3))
          S2BNN_GROUP(4, 12, 4, 13, 5, 14, 5, 15, 20, 19, 18, 19, , , , S2BNN_LOAD_PIXEL(4, 5, x4))
          S2BNN_GROUP(6, 12, 6, 13, 7, 14, 7, 15, 22, 21, 20, 21, , , , S2BNN_LOAD_PIXEL(6, 7, x5))
          S2BNN_GROUP(4, 12, 4, 13, 5, 14, 5, 15, 24, 23, 22, 23, , , , S2BNN_LOAD_PIXEL(4, 5, x6))
          S2BNN_GROUP(6, 12, 6, 13, 7, 14, 7, 15, 26, 25, 24, 25, , , , S2BNN_LOAD_PIXEL(6, 7, x7))
          S2BNN_GROUP(4, 12, 4, 13, 5, 14, 5, 15, 28, 27, 26, 27, , , , S2BNN_LOAD_PIXEL(4, 5, x0))
          S2BNN_GROUP(6, 12, 6, 13, 7, 14, 7, 15, 30, 29, 28, 29, ,
                      S2BNN_LOAD_WEIGHTS(12, 13, 64), ,
                      S2BNN_LOAD_WEIGHTS(14, 15, 64) S2BNN_LOAD_PIXEL(6, 7, x1)),
          S2BNN_DRAIN(31, 30, 31), S2BNN_ALL_8X32,
          "sub %[x0], %[x0], #2\n\tsub %[x1], %[x1], #2\n\t"
          "add %[x0], %[x0], %[skip]\n\tadd %[x1], %[x1], %[skip]\n\t"
          "add %[x2], %[x2], %[skip]\n\tadd %[x3], %[x3], %[skip]\n\t"
          "add %[x4], %[x4], %[skip]\n\tadd %[x5], %[x5], %[skip]\n\t"
          "add %[x6], %[x6], %[skip]\n\tadd %[x7], %[x7], %[skip]\n\t")
      : [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3), [x4] "+r"(x4), [x5] "+r"(x5),
        [x6] "+r"(x6), [x7] "+r"(x7), [weights] "+r"(weights), [rows] "+r"(rows),
        [room] "+r"(room), [written] "+r"(written), [left] "=&r"(left), [run] "=&r"(run)
      : [sums] "r"(sums), [length] "r"(bytes.length / 2), [skip] "r"(skip)
      : S2BNN_REGISTERS);
  return weights - 128;
}

// clang-format on

}  // namespace s2bnn
