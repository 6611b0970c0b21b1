// The options of the custom ops, as bytes: they are refused with an Error, or read into the ranges
// that options.h promises.
#include <cstdlib>

#include "base/error.h"
#include "fuzz.h"
#include "graph/options.h"

namespace {

void expect(bool condition) {
  if (!condition) std::abort();
}

void expect_window(const s2bnn::Window& window) {
  s2bnn::check_window(window);
}  // nobody catches the Error that it throws

}  // namespace

Outcome fuzz(const uint8_t* data, size_t size) {
  s2bnn::BconvOptions bconv;
  s2bnn::Window pool;
  bool is_bconv = false, is_pool = false;
  try {
    bconv = s2bnn::read_bconv_options(data, size);
    is_bconv = true;
  } catch (const s2bnn::Error&) {
  }
  try {
    pool = s2bnn::read_bmaxpool_options(data, size);
    is_pool = true;
  } catch (const s2bnn::Error&) {
  }
  if (is_pool) expect_window(pool);
  if (!is_bconv) return is_pool ? Outcome::kRan : Outcome::kRefused;
  expect_window(bconv.window);
  expect(bconv.channels_in >= 1 && bconv.pad_value >= 0 && bconv.pad_value <= 1);
  expect(bconv.activation >= s2bnn::Activation::kNone &&
         bconv.activation <= s2bnn::Activation::kRelu6);
  return Outcome::kRan;
}
