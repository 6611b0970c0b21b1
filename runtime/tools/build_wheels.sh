#!/bin/sh
# Builds the wheels for x86_64 and aarch64, or for one of them, on any machine. Zig, from PyPI,
# compiles for both and for old versions of glibc. A wheel appears when it is whole.
#     tools/build_wheels.sh PYTHON OUTPUT_DIRECTORY [--quick] [MACHINE]
# PYTHON is any Python 3.9 or newer. The tools go into their own environment, build/wheel-tools.
# MACHINE may also be macos-arm64, for macOS 11 on Apple silicon, where we have not run the wheel.
# --quick is for tests: it compiles with g++ and aarch64-linux-gnu-g++, because Zig first builds a
# C++ library, which takes minutes. Those wheels need a newer glibc.
set -eu

python=$1
output=$2
quick=
[ "${3:-}" != --quick ] || { quick=yes; shift; }
machines=${3:-x86_64 aarch64}
here=$(cd "$(dirname "$0")/.." && pwd)
tools=$here/build/wheel-tools
if [ ! -e "$tools/complete" ]; then
  rm -rf "$tools"
  "$python" -m venv "$tools"
  "$tools/bin/python" -m pip install -q --disable-pip-version-check \
    build==1.6.1 scikit-build-core==1.1.2 wheel==0.48.0 cmake==4.4.5 ninja==1.13.2
  touch "$tools/complete"
fi
if [ -z "$quick" ]; then
  "$tools/bin/python" -m pip install -q --disable-pip-version-check ziglang==0.17.1
fi
python=$tools/bin/python
export PATH="$tools/bin:$PATH"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$output"

# Prints CMake's settings for a machine. CMake wants a compiler that is one word.
settings() {  # machine
  case $1 in
    macos-arm64)  # CMake looks for a tool and for Apple's headers, which Zig does without
      target=aarch64-macos.11.0
      echo "-DCMAKE_SYSTEM_NAME=Darwin -DCMAKE_SYSTEM_PROCESSOR=arm64"
      echo "-DCMAKE_INSTALL_NAME_TOOL=true -DCMAKE_OSX_SYSROOT=" ;;
    *)
      target=$1-linux-gnu.2.17
      echo "-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=$1" ;;
  esac
  if [ -n "$quick" ]; then
    echo "-DCMAKE_CXX_COMPILER=$1-linux-gnu-g++ -DS2BNN_WERROR=ON"
    return
  fi
  for tool in c++ ar ranlib; do
    flags=
    [ $tool != c++ ] || flags="-target $target -Wl,-s"
    printf '#!/bin/sh\nexec "%s" -m ziglang %s %s "$@"\n' "$python" "$tool" "$flags" > "$work/$tool"
    chmod +x "$work/$tool"
  done
  echo "-DCMAKE_CXX_COMPILER=$work/c++ -DCMAKE_AR=$work/ar -DCMAKE_RANLIB=$work/ranlib"
}

build() {  # machine, Python's name of it
  CMAKE_ARGS=$(settings "$1" | tr '\n' ' ')
  export CMAKE_ARGS
  _PYTHON_HOST_PLATFORM="$2" "$python" -m build --wheel --no-isolation \
    --outdir "$work/$1" -C build-dir="$work/build-$1" "$here"
}

for machine in $machines; do
  echo "building the wheel for $machine"
  case $machine in
    macos-arm64) host=macosx-11.0-arm64 platform=macosx_11_0_arm64 ;;
    *) host=linux-$machine platform=manylinux_2_17_$machine.manylinux2014_$machine ;;
  esac
  [ -z "$quick" ] || platform=linux_$machine
  build $machine $host > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  "$python" -m wheel tags --remove --platform-tag "$platform" "$work/$machine"/*.whl > /dev/null
  rm -f "$output"/*"${host##*-}".whl
  mv "$work/$machine"/*.whl "$output"
done
ls -l "$output"/*.whl
large=$(find "$output" -name '*.whl' -size +3M)
[ -z "$large" ] || { echo "larger than 3 MB: $large" >&2; exit 1; }
