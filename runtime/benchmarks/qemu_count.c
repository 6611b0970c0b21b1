// A plug-in for qemu (7.2, linux-user) that counts the instructions that a program executes: all of
// them, and those between `hint #42` and `hint #43`. When the program ends, it writes one line with
// the total and one line for each such region to the file that the environment variable
// COUNT_OUTPUT names.
//
//     gcc -shared -fPIC -O2 qemu_count.c -o qemu_count.so
//     COUNT_OUTPUT=counts.txt qemu-aarch64 -plugin ./qemu_count.so PROGRAM
#include <string.h>

#include "qemu_plugin.h"

struct qemu_plugin_insn;
extern struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb*, size_t);
extern const void* qemu_plugin_insn_data(const struct qemu_plugin_insn*);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn*, int operation,
                                                       void* counter, uint64_t amount);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn*,
                                                   void (*)(unsigned, void*), int flags, void*);

enum { kMaxRegions = 4096 };
static const uint32_t kStart = 0xd503255f, kStop = 0xd503257f;  // hint #42, hint #43
static uint64_t total, started;
static uint64_t regions[kMaxRegions];
static int region_count;

static void start(unsigned cpu, void* data) {
  (void)cpu, (void)data;
  started = total;
}

static void stop(unsigned cpu, void* data) {
  (void)cpu, (void)data;
  if (region_count < kMaxRegions) regions[region_count++] = total - started;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); ++i) {
    struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(instruction), sizeof(word));
    if (word == kStart) {
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, start, 0, NULL);
    } else if (word == kStop) {
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, stop, 0, NULL);
    } else {
      qemu_plugin_register_vcpu_insn_exec_inline(instruction, kAdd, &total, 1);
    }
  }
}

static void report(FILE* output) {
  fprintf(output, "%" PRIu64 "\n", total);
  for (int i = 0; i < region_count; ++i) fprintf(output, "%" PRIu64 "\n", regions[i]);
}
