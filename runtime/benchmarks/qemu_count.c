// A plug-in for qemu (7.2, linux-user) that counts the instructions that a program executes: all of
// them, and those between `hint #42` and `hint #43`. When the program ends, it writes one line with
// the total and one line for each such region to the file that the environment variable
// COUNT_OUTPUT names.
//
//     gcc -shared -fPIC -O2 qemu_count.c -o qemu_count.so
//     COUNT_OUTPUT=counts.txt qemu-aarch64 -plugin ./qemu_count.so PROGRAM
//
// Debian has no header for plug-ins, so the part of the interface that is used is declared here.
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t,
                                                  void (*)(qemu_plugin_id_t,
                                                           struct qemu_plugin_tb*));
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void*),
                                           void*);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
extern struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb*, size_t);
extern const void* qemu_plugin_insn_data(const struct qemu_plugin_insn*);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn*, int operation,
                                                       void* counter, uint64_t amount);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn*,
                                                   void (*)(unsigned, void*), int flags, void*);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { kAdd = 0, kMaxRegions = 4096 };
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

static void finish(qemu_plugin_id_t id, void* data) {
  (void)id, (void)data;
  const char* path = getenv("COUNT_OUTPUT");
  FILE* output = path ? fopen(path, "w") : stderr;
  if (!output) return;
  fprintf(output, "%" PRIu64 "\n", total);
  for (int i = 0; i < region_count; ++i) fprintf(output, "%" PRIu64 "\n", regions[i]);
  fflush(output);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id,
                                                               const void* info, int count,
                                                               char** arguments) {
  (void)info, (void)count, (void)arguments;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
  qemu_plugin_register_atexit_cb(id, finish, NULL);
  return 0;
}
