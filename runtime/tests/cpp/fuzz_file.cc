// Whole files, as the check before a host opens one sees them: each is refused with an Error or
// accepted, without a read outside of it.
#include "base/error.h"
#include "fuzz.h"
#include "host/check_file.h"

Outcome fuzz(const uint8_t* data, size_t size) {
  try {
    s2bnn::check_file(data, size);
  } catch (const s2bnn::Error&) {
    return Outcome::kRefused;
  }
  return Outcome::kRan;
}
