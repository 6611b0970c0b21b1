// Runs a program of WebAssembly that only prints: node run_wasi.js PROGRAM
'use strict';
const fs = require('fs');
const { WASI } = require('wasi');

const wasi = new WASI({ version: 'preview1' });
WebAssembly.instantiate(fs.readFileSync(process.argv[2]), wasi.getImportObject())
  .then(({ instance }) => process.exit(wasi.start(instance)));
