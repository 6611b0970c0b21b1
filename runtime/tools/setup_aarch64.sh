#!/bin/sh
# Sets up an ARM Linux under qemu on a Debian x86 machine: Debian's arm64 Python 3.11 in a sysroot,
# and TFLite hosts for it, all from the registries of Debian and PyPI.
#     tools/setup_aarch64.sh DIRECTORY HOST...      (as root, for apt-get)
# HOST is tflite, litert-1.4, litert-2.0 or litert-2.3. Afterwards DIRECTORY/python HOST ... is an
# ARM Python with that host. PYTHON names a Python with pip.
set -eu

mkdir -p "$1"
root=$(cd "$1" && pwd)
shift
sysroot=$root/sysroot

make_sysroot() {
  mkdir -p "$sysroot" "$root/packages"
  apt-get install -y -qq --no-install-recommends qemu-user-static > /dev/null
  foreign=$(dpkg --print-foreign-architectures | grep -x arm64 || true)
  [ -n "$foreign" ] || dpkg --add-architecture arm64
  apt-get update -qq
  packages="python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libgcc-s1
    libstdc++6 zlib1g libexpat1 libssl3 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libreadline8
    libtinfo6 libncursesw6 libuuid1 libcrypt1 libdb5.3 libnsl2 libtirpc3"
  (cd "$root/packages" && for package in $packages; do apt-get download -qq "$package:arm64"; done)
  if [ -z "$foreign" ]; then
    dpkg --remove-architecture arm64
    apt-get update -qq
  fi
  for package in "$root"/packages/*.deb; do dpkg -x "$package" "$sysroot"; done

  # LiteRT's processor detection reads this file, and crashes on that of an x86 processor.
  mkdir -p "$sysroot/proc"
  printf '%s\n' 'processor	: 0' 'Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid' \
    'CPU implementer	: 0x41' 'CPU architecture: 8' 'CPU variant	: 0x0' 'CPU part	: 0xd08' \
    'CPU revision	: 3' > "$sysroot/proc/cpuinfo"

  cat > "$root/python" <<EOF
#!/bin/sh
# python HOST ARGUMENTS...: the ARM Python with one of the hosts. The processor is named because
# XNNPACK computes wrong int8 results on qemu's default one.
host=\$1; shift
export PYTHONPATH="$root/\$host:\${PYTHONPATH:-}"
exec qemu-aarch64-static -cpu cortex-a72 -L "$sysroot" "$sysroot/usr/bin/python3.11" "\$@"
EOF
  chmod +x "$root/python"
  touch "$sysroot/complete"
}

fetch() {  # directory, requirements; Debian 12 has glibc 2.36
  platforms="--platform manylinux2014_aarch64"
  for minor in $(seq 17 36); do
    platforms="$platforms --platform manylinux_2_${minor}_aarch64"
  done
  "${PYTHON:-python3}" -m pip install -q --disable-pip-version-check --only-binary=:all: \
    --python-version 3.11 $platforms --target "$root/$1" $2
}

[ -e "$sysroot/complete" ] || make_sysroot
for host in "$@"; do
  case $host in
    tflite) fetch "$host" "tflite-runtime==2.14.0 numpy<2" ;;
    litert-1.4) fetch "$host" "ai-edge-litert==1.4.0 numpy" ;;
    litert-2.0) fetch "$host" "ai-edge-litert==2.0.3 numpy" ;;
    litert-2.3) fetch "$host" "ai-edge-litert==2.3.0 numpy" ;;
    *) echo "unknown host $host: choose tflite, litert-1.4, litert-2.0 or litert-2.3" >&2; exit 2 ;;
  esac
  touch "$root/$host/complete"
  "$root/python" "$host" -c 'import platform, numpy
print("ready:", platform.machine(), "numpy", numpy.__version__)'
done
