// Runs a program of WebAssembly that only prints: node run_wasi.js PROGRAM
// The last line is the size of its memory in bytes, on standard error.
'use strict';
const fs = require('fs');
const { WASI } = require('wasi');

const wasi = new WASI({ version: 'preview1', args: ['program'] });
WebAssembly.instantiate(fs.readFileSync(process.argv[2]), wasi.getImportObject())
  .then(({ instance }) => {
    process.exitCode = wasi.start(instance);
    console.error(instance.exports.memory.buffer.byteLength);
  });
