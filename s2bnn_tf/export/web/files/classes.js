// Classes without training, as `s2bnn-run enroll` and `classify`: the nearest class mean by cosine,
// and none if the picture is less similar than further pictures of the class would be.
'use strict';

const MOST_EXAMPLES = 100; // of each class that are kept
const FEWEST = 4; // comparisons from which a threshold can be chosen
const ENOUGH = 10; // times the inverse of the rate: so many distances show it by themselves
const SMALLEST = 1e-6; // distances below count as this, so that their logarithm is finite
const SAME = 1e-6; // examples whose cosine is nearer to 1 are the same picture
const FALSE_ALARMS = 0.05; // the share of further pictures of a class that may be rejected

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; ++i) sum += a[i] * b[i];
  return sum;
}

// A vector of unit length; an error for zeros and what is not finite.
function unit(vector) {
  const length = Math.sqrt(dot(vector, vector));
  if (!(length > 0 && length < Infinity)) throw new Error('an embedding is zero or not finite');
  return Float64Array.from(vector, (value) => value / length);
}

class Classes {
  // kept: what `toKeep` gave; undefined begins with the classes of the file
  // file: what the page was made with: `classes` as kept, of which some are words; `shift` from
  // where pictures are to where words are, null if that is not known or nothing is a word; and the
  // `threshold` of all classes, -1 if examples choose one for each
  constructor(kept = undefined, file = { classes: [], shift: null, threshold: -1 }) {
    this.file = file;
    this.all = new Map((kept ?? file.classes).map((found) => [found.name, { ...found }]));
    this.choose();
  }

  toKeep() {
    return [...this.all.values()];
  }

  // Add pictures to a new or known class; each counts once. Returns how many were new.
  enroll(name, vectors) {
    if (!this.file.shift && [...this.all.values()].some(({ word }) => word)) {
      throw new Error('the words do not say where pictures are; make them with --pictures');
    }
    const known = this.all.get(name);
    const found = known || { name, sum: null, count: 0, examples: [] };
    let added = 0;
    for (const vector of vectors.map(unit)) {
      if (found.examples.some((example) => dot(example, vector) > 1 - SAME)) continue;
      const moved = this.moved(vector);
      found.sum = found.sum ? found.sum.map((value, i) => value + moved[i]) : moved;
      found.count += 1;
      added += 1;
      // Those kept are always a random choice of all.
      const place = found.examples.length < MOST_EXAMPLES
        ? found.examples.length
        : Math.floor(Math.random() * (found.count - (found.word ? 1 : 0)));
      if (place < MOST_EXAMPLES) found.examples[place] = Float32Array.from(vector);
    }
    this.all.set(name, found);
    this.choose();
    return added;
  }

  // A picture's vector as it is added to classes.
  moved(vector) {
    const { shift } = this.file;
    return shift ? unit(vector.map((value, i) => value + shift[i])) : Float64Array.from(vector);
  }

  forget(name) {
    this.all.delete(name);
    this.choose();
  }

  // The nearest class of an output: its `name`, null if it is rejected, `score` and `nearest`.
  predict(vector) {
    const given = unit(vector);
    let best = null;
    for (const found of this.all.values()) {
      const score = dot(unit(found.sum), given);
      if (best === null || score > best.score) best = { score, nearest: found.name };
    }
    if (best === null) return null;
    const least = this.thresholds ? this.thresholds.get(best.nearest) : this.file.threshold;
    return { name: best.score >= least ? best.nearest : null, ...best };
  }

  // The smallest cosine of each class: one that a further picture misses at the rate of false
  // alarms, from the examples compared with their class without them.
  choose() {
    this.thresholds = null;
    if (this.file.threshold > -1) return;
    const distances = new Map();
    for (const { name, sum, examples } of this.all.values()) {
      distances.set(name, examples.length < 2 ? [] : examples.map((example) => {
        const own = this.moved(example);
        const rest = sum.map((value, i) => value - own[i]);
        const length = Math.sqrt(dot(rest, rest));
        return 1 - (length < 1e-6 ? 0 : dot(example, rest) / length);
      }));
    }
    const chosen = classThresholds(distances, FALSE_ALARMS);
    if (!chosen) return;
    this.thresholds = new Map([...chosen].map(([name, distance]) => {
      const { word, examples } = this.all.get(name);
      return [name, word && !examples.length ? -1 : Math.max(1 - distance, -1)];
    }));
  }
}

// The file of classes as begun.js holds it: what `new Classes` takes.
function readFile({ classes, numbers, shift, threshold }) {
  const all = new Float32Array(decodeBase64(numbers).buffer);
  const rows = classes.reduce((sum, { examples }) => sum + 1 + examples, shift);
  const dim = all.length / rows;
  let next = classes.length;
  const row = (number) => all.slice(number * dim, (number + 1) * dim);
  return {
    classes: classes.map(({ name, count, word, examples }, i) => ({
      name, count, word, sum: Float64Array.from(row(i)),
      examples: Array.from({ length: examples }, () => row(next++)),
    })),
    shift: shift ? row(rows - 1) : null,
    threshold,
  };
}

// A threshold for the distances of each class: prediction intervals with one spread for all.
function classThresholds(distances, rate) {
  const logs = new Map();
  for (const [name, found] of distances) {
    const values = found.map((distance) => Math.log(Math.max(distance, SMALLEST)));
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    if (values.length > 1) logs.set(name, { values, mean });
  }
  let freedom = 0;
  let squares = 0;
  for (const { values, mean } of logs.values()) {
    freedom += values.length - 1;
    for (const value of values) squares += (value - mean) ** 2;
  }
  if (freedom < FEWEST - 1) return null;
  const spread = Math.sqrt(squares / freedom);
  const chosen = new Map();
  for (const [name, { values, mean }] of logs) {
    const count = values.length;
    const threshold = upper(mean, spread, count, freedom, rate);
    const place = Math.ceil((count + 1) * (1 - rate));
    const sorted = [...distances.get(name)].sort((a, b) => a - b);
    chosen.set(name, place <= count ? Math.max(threshold, sorted[place - 1]) : threshold);
  }
  const widest = Math.max(...chosen.values());
  const together = oneThreshold([...logs.keys()].flatMap((name) => distances.get(name)), rate);
  return new Map([...distances.keys()].map(
    (name) => [name, Math.min(chosen.get(name) ?? widest, together)],
  ));
}

// One threshold for all distances, which no class exceeds.
function oneThreshold(distances, rate) {
  const sorted = [...distances].sort((a, b) => a - b);
  const count = sorted.length;
  const seen = sorted[Math.min(Math.ceil((count + 1) * (1 - rate)), count) - 1];
  if (count * rate >= ENOUGH) return seen;
  const logs = sorted.map((distance) => Math.log(Math.max(distance, SMALLEST)));
  const mean = logs.reduce((a, b) => a + b, 0) / count;
  const spread = Math.sqrt(logs.reduce((a, b) => a + (b - mean) ** 2, 0) / (count - 1));
  return Math.max(seen, upper(mean, spread, count, count - 1, rate));
}

// The upper end of a prediction interval for one more value whose logarithm is normal.
function upper(mean, spread, count, freedom, rate) {
  const far = mean + student(1 - rate, freedom) * spread * Math.sqrt(1 + 1 / count);
  return Math.exp(Math.min(far, 50));
}

// The quantile of Student's distribution. With t = sqrt(freedom) * tan(angle), the density becomes
// a power of the cosine, which is integrated by trapezoids.
function student(probability, freedom) {
  const count = 40001;
  const step = Math.PI / (count - 1);
  const mass = new Float64Array(count);
  let before = 0;
  for (let i = 0; i < count; ++i) {
    const density = Math.max(Math.cos(-Math.PI / 2 + i * step), 0) ** (freedom - 1);
    if (i > 0) mass[i] = mass[i - 1] + (density + before) / 2;
    before = density;
  }
  const wanted = probability * mass[count - 1];
  const at = mass.findIndex((value) => value >= wanted);
  const part = (wanted - mass[at - 1]) / (mass[at] - mass[at - 1]);
  return Math.sqrt(freedom) * Math.tan(-Math.PI / 2 + (at - 1 + part) * step);
}
