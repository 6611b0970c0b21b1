/* Classifies a picture on a Cortex-M4F without an operating system, and says the class by blinking:
 * lamp 1 goes on, lamp 0 flashes once for class 0, twice for class 1, and so on, lamp 1 goes off.
 *
 * The lamps are those of Arm's board MPS2+ with the image AN386, which QEMU emulates. For another
 * board, change LAMPS, the two addresses in memory.ld, and where the frame comes from.
 */
#include <stdint.h>

#include "digits.h"
#include "frame.h" /* static const uint8_t frame[]; a camera's driver would fill one instead */

#define LAMPS (*(volatile uint32_t *)0x40028000U)
#define FLOATING_POINT (*(volatile uint32_t *)0xE000ED88U)

extern uint32_t data_in_flash[], data_begin[], data_end[], bss_begin[], bss_end[], stack_top[];

static void wait(void) {
  for (volatile int i = 0; i < 200000; ++i) {
  }
}

static void lamps(uint32_t on) {
  LAMPS = on;
  wait();
}

static int look(void) {
  if (digits_input_frame(frame) != 0 || digits_run() != 0) return -1;
  const float *scores = digits_output();
  int best = 0;
  for (int i = 1; i < DIGITS_OUTPUT_CHANNELS; ++i) best = scores[i] > scores[best] ? i : best;
  return best;
}

void reset(void) {
  FLOATING_POINT |= 0xfU << 20;
  __asm__ volatile("dsb\n isb");
  for (uint32_t *to = data_begin, *from = data_in_flash; to < data_end;) *to++ = *from++;
  for (uint32_t *to = bss_begin; to < bss_end;) *to++ = 0;
  for (;;) {
    const int class = look();
    lamps(2);
    for (int flash = 0; flash <= class; ++flash) {
      lamps(3);
      lamps(2);
    }
    lamps(0);
  }
}

static void fault(void) {
  for (;;) {
  }
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top,           (const void *)reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault};
