#!/bin/sh
# Builds examples/ with the delegates of the wheels and TFLite's C library, for x86_64 and, under qemu, aarch64, and checks what the
# programs compute; and the same from Java, with TFLite's part of it stood in for by tests/java.
#     tools/test_programs.sh WHEELS DIRECTORY        (needs npm; aarch64-linux-gnu-gcc and qemu-user-static; a JDK)
# PYTHON names a Python with NumPy.
set -eu

wheels=$(cd "$1" && pwd)
mkdir -p "$2"
work=$(cd "$2" && pwd)
python=${PYTHON:-python3}
cd "$(dirname "$0")/.."
command -v npm > /dev/null || { echo "skipped: the C and C++ programs need npm, which brings TFLite's C library"; exit 0; }
tools/fetch_tflite_c.sh "$work/tflite"

check() { PYTHONPATH=. "$python" tests/check_programs.py "$@"; }

programs() {  # machine, what runs its programs
  machine=$1; shift
  "$python" -m zipfile -e "$wheels"/*"$machine".whl "$work/$machine"
  make -s -B -C examples TFLITE="$work/tflite/$machine" DELEGATE="$work/$machine/s2bnn_runtime/libs2bnn_delegate.so" BUILD="$work/$machine" \
    CC="$machine-linux-gnu-gcc" CXX="$machine-linux-gnu-g++"
  check "C on $machine" "$@" "$work/$machine/run_model_c"
  check "C++ on $machine" "$@" "$work/$machine/run_model_cc"
}

java_program() {
  classes=$work/java
  home=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")
  mkdir -p "$classes"
  javac -Xlint:all -Werror -d "$classes" java/s2bnn/runtime/*.java tests/java/org/tensorflow/lite/*.java tests/java/*.java
  cc -O2 -Wall -Wextra -fPIC -shared -I"$home/include" -I"$home/include/linux" -I"$work/tflite/x86_64/include" tests/java/run_model_jni.c \
    -o "$classes/librun_model_jni.so" -L"$work/tflite/x86_64/lib" -ltensorflowlite_c -Wl,-rpath,"$work/tflite/x86_64/lib"
  check "Java on x86_64" java -Xshare:auto -cp "$classes" -Djava.library.path="$classes:$work/x86_64/s2bnn_runtime" RunModel
}

programs x86_64
if command -v aarch64-linux-gnu-g++ > /dev/null && command -v qemu-aarch64-static > /dev/null; then
  programs aarch64 qemu-aarch64-static -cpu cortex-a72 -L /usr/aarch64-linux-gnu
else
  echo "skipped: the programs on aarch64 need aarch64-linux-gnu-g++ and qemu-user-static"
fi
if command -v javac > /dev/null; then java_program; else echo "skipped: Java needs a JDK"; fi
