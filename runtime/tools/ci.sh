#!/bin/sh
# What CI does with the runtime: builds it, tests it against Larq Compute Engine, runs the C++ tests and fuzzers under sanitizers, tests
# wheels in one host on x86_64 and one on aarch64, and programs in C, C++ and Java.
#     tools/ci.sh PYTHON       (PYTHON has TensorFlow, Larq Compute Engine and pytest; the tools come by apt, as root)
set -eu

python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")/.."
if [ "$(id -u)" = 0 ]; then
  apt-get update -qq > /dev/null 2>&1 || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends cmake make g++ clang-14 libclang-rt-14-dev \
    libstdc++-12-dev g++-aarch64-linux-gnu qemu-user-static python3 > /dev/null 2>&1 || echo "Not all tools could be installed."
fi
for tool in cmake g++; do
  command -v $tool > /dev/null || { echo "The runtime is not tested: $tool is missing."; exit 0; }
done

make test PYTHON="$python"
PYTHONPATH=. "$python" -m pytest -q ../tests/tflite/test_interpreter.py
if command -v clang++-14 > /dev/null; then
  make sanitize CLANG=clang++-14 FUZZ_SECONDS=20
else
  echo "The sanitizers are left out: clang++-14 is missing."
fi
if command -v aarch64-linux-gnu-g++ > /dev/null; then
  tools/build_wheels.sh "$python" build/quick --quick
  PYTHON=$python tools/test_hosts.sh build/quick build/hosts --short
  PYTHON=$python tools/test_programs.sh build/quick build/programs
  if [ -e build/sanitize/libs2bnn_delegate.so ]; then
    make fuzz-host PYTHON=build/hosts/litert-2.3/bin/python CLANG=clang++-14 FUZZ_SECONDS=20
  fi
else
  echo "The wheels are left out: aarch64-linux-gnu-g++ is missing."
fi
