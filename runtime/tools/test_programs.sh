#!/bin/sh
# Builds examples/ with the delegates in the wheels and TFLite's C library, for x86_64 and, under
# qemu, aarch64, and checks the programs' results. Does the same from Java, where tests/java stands
# in for TFLite's Java library.
#     tools/test_programs.sh WHEELS DIRECTORY
# Needs npm, aarch64-linux-gnu-gcc, qemu-user-static and a JDK. PYTHON names a Python with NumPy.
set -eu

wheels=$(cd "$1" && pwd)
mkdir -p "$2"
work=$(cd "$2" && pwd)
python=${PYTHON:-python3}
warnings="-O2 -Wall -Wextra -Werror"
cd "$(dirname "$0")/.."

has() { command -v "$1" > /dev/null; }

has npm || { echo "left out: the programs, which need npm for TFLite's C library"; exit 0; }
tools/fetch_tflite_c.sh "$work/tflite"

check() { PYTHONPATH=. "$python" tests/check_programs.py "$@"; }

programs() {  # machine, the command that runs its programs
  machine=$1; shift
  "$python" -m zipfile -e "$wheels"/*"$machine".whl "$work/$machine"
  make -s -B -C examples TFLITE="$work/tflite/$machine" BUILD="$work/$machine" \
    DELEGATE="$work/$machine/s2bnn_runtime/libs2bnn_delegate.so" \
    CC="$machine-linux-gnu-gcc" CXX="$machine-linux-gnu-g++" \
    CFLAGS="$warnings" CXXFLAGS="$warnings"
  check "C on $machine" "$@" "$work/$machine/run_model_c"
  check "C++ on $machine" "$@" "$work/$machine/run_model_cc"
}

java_program() {
  classes=$work/java
  tflite=$work/tflite/x86_64
  home=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")
  mkdir -p "$classes"
  javac -Xlint:all -Werror -d "$classes" java/s2bnn/runtime/*.java \
    tests/java/org/tensorflow/lite/*.java tests/java/*.java
  cc $warnings -fPIC -shared -I"$home/include" -I"$home/include/linux" -I"$tflite/include" \
    tests/java/run_model_jni.c -o "$classes/librun_model_jni.so" \
    -L"$tflite/lib" -ltensorflowlite_c -Wl,-rpath,"$tflite/lib"
  check "Java on x86_64" java -Xshare:auto -cp "$classes" \
    -Djava.library.path="$classes:$work/x86_64/s2bnn_runtime" RunModel
}

programs x86_64
if has aarch64-linux-gnu-g++ && has qemu-aarch64-static; then
  programs aarch64 qemu-aarch64-static -cpu cortex-a72 -L /usr/aarch64-linux-gnu
else
  echo "left out: the programs on aarch64, which need aarch64-linux-gnu-g++ and qemu-user-static"
fi
if has javac; then java_program; else echo "left out: the Java program, which needs a JDK"; fi
