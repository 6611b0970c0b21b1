// What the plug-ins for qemu (7.2, linux-user) share. Debian has no header for plug-ins, so the
// part of the interface that is used is declared here. A plug-in includes this file once, and
// defines `translate`, which sees each block of instructions before it runs for the first time, and
// `report`, which writes what was counted when the program ends, to the file that the environment
// variable COUNT_OUTPUT names, or to standard error.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t,
                                                  void (*)(qemu_plugin_id_t,
                                                           struct qemu_plugin_tb*));
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void*),
                                           void*);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb* block);
static void report(FILE* output);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { kAdd = 0 };  // of the operations that qemu does by itself

static void finish(qemu_plugin_id_t id, void* data) {
  (void)id, (void)data;
  const char* path = getenv("COUNT_OUTPUT");
  FILE* output = path ? fopen(path, "w") : stderr;
  if (!output) return;
  report(output);
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
