// Runs what a page runs, without a browser: node run.js PAGE JOB.json
'use strict';
const fs = require('fs');
const path = require('path');
const vm = require('vm');

const [page, job] = [process.argv[2], JSON.parse(fs.readFileSync(process.argv[3]))];
const files = ['model.js', job.begun ?? 'begun.js', 'prepare.js', 'classes.js', 'network.js', job.build];
const text = files.map((file) => fs.readFileSync(path.resolve(page, file), 'utf8')).join('\n');
vm.runInThisContext(`${text.replaceAll("'use strict';", '')}
globalThis.page = {
  MODEL, NETWORK, see, networkFile, startNetwork, decodeBase64, Classes, readFile, BEGUN, student,
};`);

async function main() {
  const { MODEL, ...page } = globalThis.page;
  const network = await page.startNetwork(page.decodeBase64(page.NETWORK), MODEL);
  const seen = job.pictures.map(({ file, height, width }) =>
    page.see(fs.readFileSync(file), height, width, MODEL.input, MODEL.kept));
  const outputs = seen.map((pixels) => [...network(pixels)]);
  const classes = new page.Classes(undefined, page.readFile(page.BEGUN));
  for (const { name, vectors } of job.enroll) classes.enroll(name, vectors);
  const file = page.networkFile();
  WebAssembly.validate = () => false; // as an engine without vector instructions answers
  console.log(JSON.stringify({
    file,
    otherFile: page.networkFile(),
    seen: seen.map((pixels) => [...pixels]),
    outputs,
    predictions: job.classify.map((vector) => classes.predict(vector)),
    thresholds: classes.thresholds && [...classes.thresholds.values()],
    counts: classes.toKeep().map(({ count }) => count),
  }));
}
main();
