#include "serve.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "fuzz.h"

namespace {

constexpr unsigned kMaxSeconds = 60;  // per input

// Without a buffer: what a crash leaves is for the next process.
bool read_exactly(void* target, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t count = read(0, static_cast<uint8_t*>(target) + done, size - done);
    if (count <= 0) return false;
    done += static_cast<size_t>(count);
  }
  return true;
}

bool answer(char letter) { return write(1, &letter, 1) == 1; }

void run_inputs() {
  uint32_t size;
  while (read_exactly(&size, sizeof(size))) {
    // Its own memory, of exactly its size, for the address sanitizer.
    std::vector<uint8_t> data(size);
    data.shrink_to_fit();
    if (!read_exactly(data.data(), size)) return;
    alarm(kMaxSeconds);
    const Outcome outcome = fuzz(data.data(), size);
    alarm(0);
    if (!answer(static_cast<char>(outcome))) return;
  }
}

}  // namespace

// A child process runs the inputs. If one ends it, the next child takes the inputs that are left.
int serve() {
  for (;;) {
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) {
      run_inputs();
      _exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child) return 1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    const bool is_slow = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    if (!answer(is_slow ? 's' : 'c')) return 1;
  }
}
