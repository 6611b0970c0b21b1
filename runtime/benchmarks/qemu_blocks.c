// A plug-in for qemu (7.2, linux-user) that counts how often each block of instructions runs. When
// the program ends, it writes one line `block ADDRESS INSTRUCTIONS RUNS` for each block, and then
// the process's memory map, which says in which file and where an address lies, to the file that
// the environment variable COUNT_OUTPUT names.
//
//     gcc -shared -fPIC -O2 qemu_blocks.c -o qemu_blocks.so
//     COUNT_OUTPUT=blocks.txt qemu-aarch64 -plugin ./qemu_blocks.so PROGRAM
#include "qemu_plugin.h"

extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb*);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb*, int operation,
                                                     void* counter, uint64_t amount);

struct Block {
  uint64_t address, instructions, runs;
  struct Block* next;
};
static struct Block* blocks;

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb* code) {
  (void)id;
  struct Block* block = calloc(1, sizeof(*block));
  if (!block) abort();
  block->address = qemu_plugin_tb_vaddr(code);
  block->instructions = qemu_plugin_tb_n_insns(code);
  block->next = blocks;
  blocks = block;
  qemu_plugin_register_vcpu_tb_exec_inline(code, kAdd, &block->runs, 1);
}

static void report(FILE* output) {
  for (const struct Block* b = blocks; b; b = b->next) {
    if (b->runs == 0) continue;
    fprintf(output, "block %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", b->address, b->instructions,
            b->runs);
  }
  FILE* maps = fopen("/proc/self/maps", "r");
  for (int c; maps && (c = fgetc(maps)) != EOF;) fputc(c, output);
}
