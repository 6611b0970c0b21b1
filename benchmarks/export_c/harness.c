/* Runs an exported network on the pictures that are compiled in, and prints a line for each: the
 * number of the largest output, and on a board the instructions of the run.
 *
 * On a board there is no operating system: this file starts the processor, counts with its timer,
 * and prints through semihosting. Elsewhere, `program PICTURES RUNS` takes only so many pictures,
 * and runs the network so often on each. Without any run, it shows what the rest takes.
 */
#include <stdint.h>

#include "model.h"
#include "pictures.h"

#ifdef BOARD
extern uint32_t data_in_flash[], data_begin[], data_end[], bss_begin[], bss_end[], stack_top[];
int main(void);

#define SYSTICK ((volatile uint32_t*)0xE000E010U)

static int semihosting(int call, const void* argument) {
  register int r0 __asm__("r0") = call;
  register const void* r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static void print(const char* text) { (void)semihosting(4, text); }

/* The timer counts down; QEMU gives every instruction one nanosecond. */
static uint32_t now(void) { return SYSTICK[2]; }

static uint32_t between(uint32_t from, uint32_t to) {
  return ((from - to) & 0xffffffU) * NANOSECONDS_A_TICK;
}

void reset(void) {
  *(volatile uint32_t*)0xE000ED88U |= 0xfU << 20; /* the floating-point unit, if there is one */
  __asm__ volatile("dsb\n isb");
  for (uint32_t *to = data_begin, *from = data_in_flash; to < data_end;) *to++ = *from++;
  for (uint32_t* to = bss_begin; to < bss_end;) *to++ = 0;
  SYSTICK[1] = 0xffffffU;
  SYSTICK[2] = 0;
  SYSTICK[0] = 5; /* on, at the processor's clock */
  (void)main();
  (void)semihosting(0x18, (const void*)0x20026); /* exit */
  for (;;) {
  }
}

static void fault(void) {
  print("fault\n");
  (void)semihosting(0x18, (const void*)0x20023);
  for (;;) {
  }
}

__attribute__((section(".vectors"), used)) static const void* const vectors[16] = {
    stack_top,          (const void*)reset, (const void*)fault, (const void*)fault,
    (const void*)fault, (const void*)fault, (const void*)fault};
#else
#include <stdio.h>
#include <stdlib.h>
static void print(const char* text) { (void)fputs(text, stdout); }
static uint32_t now(void) { return 0; }
static uint32_t between(uint32_t from, uint32_t to) { return from - to; }
#endif

static void print_number(uint32_t number, const char* behind) {
  char text[12];
  int at = 11;
  text[at] = '\0';
  do {
    text[--at] = (char)('0' + number % 10U);
    number /= 10U;
  } while (number != 0U);
  print(text + at);
  print(behind);
}

static int look(int count, int runs) {
  for (int picture = 0; picture < count; ++picture) {
    float* input = model_input();
    for (int i = 0; i < PICTURE_SIZE; ++i) {
      for (int c = 0; c < MODEL_INPUT_CHANNELS; ++c) *input++ = (float)pictures[picture][i];
    }
    const uint32_t begin = now();
    for (int run = 0; run < runs; ++run) {
      if (model_run() != 0) return 1;
    }
    const uint32_t spent = between(begin, now());
    const float* output = model_output();
    uint32_t best = 0;
    for (uint32_t i = 1; i < MODEL_OUTPUT_BYTES / 4; ++i)
      best = output[i] > output[best] ? i : best;
    print_number(best, " ");
    print_number(spent, "\n");
  }
  return 0;
}

#ifdef BOARD
int main(void) { return look(PICTURES, 1); }
#else
int main(int count, char** arguments) {
  if (count != 3) return look(PICTURES, 1);
  return look(atoi(arguments[1]), atoi(arguments[2]));
}
#endif
