// What a fuzzer does with one input. fuzz_model.cc and fuzz_options.cc each define it; libFuzzer,
// replay.cc and serve.cc call it.
#pragma once

#include <cstddef>
#include <cstdint>

enum class Outcome : char { kRan = '+', kRefused = '-', kLeftOut = '.' };

// Aborts if the code under test does something wrong.
Outcome fuzz(const uint8_t* data, size_t size);
