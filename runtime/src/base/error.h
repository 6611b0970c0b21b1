// The one exception of the runtime.
#pragma once

#include <stdexcept>
#include <string>

namespace s2bnn {

// Says what is wrong with a model, in a sentence that its author can act on. It is thrown while a
// graph is read and planned, and caught at the border to the host, which reports it and stays
// usable. Nothing throws while a network runs.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void require(bool condition, const char* message) {
  if (!condition) throw Error(message);
}

}  // namespace s2bnn
