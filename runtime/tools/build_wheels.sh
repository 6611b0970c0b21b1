#!/bin/sh
# Builds the wheels for x86_64 and aarch64 on any machine: zig, from PyPI, compiles for both and for old glibc.
#     tools/build_wheels.sh PYTHON OUTPUT_DIRECTORY [--quick]
# PYTHON is any Python 3.9 or newer; the tools go into an environment of their own, build/wheel-tools. --quick compiles with g++ and
# aarch64-linux-gnu-g++ instead, for tests: zig first builds a C++ library, which takes minutes, and the wheels want a newer glibc.
set -eu

python=$1
output=$2
quick=${3:-}
here=$(cd "$(dirname "$0")/.." && pwd)
tools=$here/build/wheel-tools
if [ ! -e "$tools/complete" ]; then
  rm -rf "$tools"
  "$python" -m venv "$tools"
  "$tools/bin/python" -m pip install -q --disable-pip-version-check \
    build==1.6.1 scikit-build-core==1.1.2 wheel==0.48.0 cmake==4.4.5 ninja==1.13.2
  touch "$tools/complete"
fi
[ -n "$quick" ] || "$tools/bin/python" -m pip install -q --disable-pip-version-check ziglang==0.17.1
python=$tools/bin/python
export PATH="$tools/bin:$PATH"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$output"
rm -f "$output"/*.whl

for machine in x86_64 aarch64; do
  # CMake wants a compiler that is one word.
  for tool in c++ ar ranlib; do
    command="\"$python\" -m ziglang $tool"
    [ $tool = c++ ] && command="$command -target $machine-linux-gnu.2.17 -Wl,-s"
    [ -n "$quick" ] && command=$machine-linux-gnu-$(echo $tool | sed s/c++/g++/)
    printf '#!/bin/sh\nexec %s "$@"\n' "$command" > "$work/$tool"
    chmod +x "$work/$tool"
  done
  platform=manylinux_2_17_$machine.manylinux2014_$machine
  [ -z "$quick" ] || platform=linux_$machine
  CMAKE_ARGS="-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=$machine -DCMAKE_CXX_COMPILER=$work/c++ -DCMAKE_AR=$work/ar -DCMAKE_RANLIB=$work/ranlib" \
  _PYTHON_HOST_PLATFORM="linux-$machine" \
    "$python" -m build --wheel --no-isolation --outdir "$work/$machine" -C build-dir="$work/build-$machine" "$here" \
      > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  "$python" -m wheel tags --remove --platform-tag "$platform" "$work/$machine"/*.whl > /dev/null
  mv "$work/$machine"/*.whl "$output"
done
ls -l "$output"/*.whl
large=$(find "$output" -name '*.whl' -size +3M)
[ -z "$large" ] || { echo "larger than 3 MB: $large" >&2; exit 1; }
