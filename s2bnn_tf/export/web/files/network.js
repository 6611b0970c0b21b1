// The network in WebAssembly, with vector instructions where the browser has them.
'use strict';

// A module that is valid only with vector instructions: one function that makes a vector of zeros.
const USES_VECTORS = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
  253, 98, 11,
];

// The file of the build for this browser.
function networkFile() {
  return WebAssembly.validate(Uint8Array.from(USES_VECTORS)) ? 'simd.js' : 'plain.js';
}

// Start the network.
//   bytes: the WebAssembly
//   settings: those of the page, see model.js
// Returns a function from what `see` gives to the output; a map becomes the mean of its places.
async function startNetwork(bytes, settings) {
  const { instance } = await WebAssembly.instantiate(bytes, {});
  const c = instance.exports;
  c._initialize();
  const count = settings.input.reduce((a, b) => a * b);
  return (seen) => {
    new Float32Array(c.memory.buffer, c.model_input(), count).set(seen);
    if (c.model_run() !== 0) throw new Error('the network did not run');
    const [rows, columns, depth] = settings.output;
    const getter = settings.outputNumber ? `model_output_${settings.outputNumber}` : 'model_output';
    const output = new Float32Array(c.memory.buffer, c[getter](), rows * columns * depth);
    return meanOfPlaces(output, depth);
  };
}

function meanOfPlaces(map, depth) {
  const mean = new Float64Array(depth);
  for (let i = 0; i < map.length; ++i) mean[i % depth] += map[i];
  return Float32Array.from(mean, (sum) => sum / (map.length / depth));
}

// The WebAssembly as simd.js and plain.js hold it.
function decodeBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
