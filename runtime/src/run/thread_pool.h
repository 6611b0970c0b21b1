// Threads, and how they share the work of one pass.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/aligned.h"

namespace s2bnn {

// One pass over memory, cut into chunks that threads take one after the other. A thread that the
// system does not run therefore holds nobody up.
class Pass {
 public:
  explicit Pass(int threads);

  int chunks() const { return chunks_; }

  // Call it before a run, while no thread is at work.
  void reset();

  // Takes the next chunk; returns -1 if all are taken. A thread takes those of its own part, which
  // it finds in its cache, first.
  int take(int thread);

  // Call it once for each chunk that was taken.
  void finish() { finished_.fetch_add(1, std::memory_order_release); }

  // Returns when all chunks are finished.
  void wait() const;

 private:
  struct alignas(kCacheLine) Part {
    std::atomic<int> taken{0};
  };
  const int chunks_of_part_, chunks_;
  std::vector<Part> parts_;  // one per thread
  std::atomic<int> finished_{0};
};

// Threads that sleep until there is work. They are created once; running a task allocates nothing.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // the caller's thread counts as one
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(0) and, at the same time, task(1) ... task(threads() - 1) on the other threads.
  // Calls that have not begun when task(0) ends are left out. Returns when all calls have returned.
  void run(const std::function<void(int thread)>& task);

 private:
  void work(int thread);

  std::mutex mutex_;
  std::condition_variable start_, done_;
  const std::function<void(int)>* task_ = nullptr;  // null if there is nothing to begin
  uint64_t round_ = 0;
  int running_ = 0;
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace s2bnn
