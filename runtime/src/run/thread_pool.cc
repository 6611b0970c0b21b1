#include "run/thread_pool.h"

namespace s2bnn {
namespace {

// Passes take microseconds, so threads spin until the next one; but not for long, because there may
// be fewer processors than threads.
constexpr int kSpins = 4000;
constexpr int kChunksOfPart = 4;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Pass::Pass(int threads)
    : chunks_of_part_(threads == 1 ? 1 : kChunksOfPart),
      chunks_(threads * chunks_of_part_),
      parts_(threads) {}

void Pass::reset() {
  for (Part& part : parts_) part.taken.store(0, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
}

int Pass::take(int thread) {
  const int count = static_cast<int>(parts_.size());
  for (int i = 0; i < count; ++i) {
    const int part = (thread + i) % count;
    if (parts_[part].taken.load(std::memory_order_relaxed) >= chunks_of_part_) continue;
    const int chunk = parts_[part].taken.fetch_add(1, std::memory_order_relaxed);
    if (chunk < chunks_of_part_) return part * chunks_of_part_ + chunk;
  }
  return -1;
}

void Pass::wait() const {
  for (int spins = 0; finished_.load(std::memory_order_acquire) < chunks_; ++spins) {
    if (spins < kSpins) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

ThreadPool::ThreadPool(int threads) {
  workers_.reserve(threads - 1);
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back(&ThreadPool::work, this, i);
  } catch (const std::system_error&) {
    // A system that is short of threads gives fewer of them, which is not an error.
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  start_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(const std::function<void(int)>& task) {
  if (workers_.empty()) return task(0);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    task_ = &task;
    ++round_;
  }
  start_.notify_all();
  task(0);
  std::unique_lock<std::mutex> lock(mutex_);
  task_ = nullptr;
  done_.wait(lock, [this] { return running_ == 0; });
}

void ThreadPool::work(int thread) {
  uint64_t seen = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    start_.wait(lock, [&] { return stop_ || (task_ != nullptr && round_ != seen); });
    if (stop_) return;
    seen = round_;
    ++running_;
    const std::function<void(int)>& task = *task_;
    lock.unlock();
    task(thread);
    lock.lock();
    if (--running_ == 0) done_.notify_one();
  }
}

}  // namespace s2bnn
