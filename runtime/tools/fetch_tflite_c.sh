#!/bin/sh
# Fetches TFLite's C library and headers for Linux, TFLite 2.9, from the npm package
# tfjs-tflite-node.
#     tools/fetch_tflite_c.sh DIRECTORY       (needs npm)
# makes DIRECTORY/x86_64 and DIRECTORY/aarch64, each with include/ and lib/.
set -eu

mkdir -p "$1"
cd "$1"
[ ! -e complete ] || exit 0
npm pack --silent tfjs-tflite-node@0.0.2 > /dev/null
tar xzf tfjs-tflite-node-0.0.2.tgz
for pair in x86_64:linux_amd64 aarch64:linux_arm64; do
  machine=${pair%:*}
  mkdir -p "$machine/lib"
  cp -r package/cc_deps/include "$machine"
  cp "package/cc_deps/${pair#*:}/libtensorflowlite_c.so" "$machine/lib"
done
rm -rf package tfjs-tflite-node-0.0.2.tgz
touch complete
