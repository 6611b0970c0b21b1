// Classes without training, as `s2bnn-run enroll` and `classify`: the nearest class mean by cosine,
// and none if the picture is less similar than further pictures of the class would be.
'use strict';

const MOST_EXAMPLES = 100; // of each class that are kept
const FEWEST = 4; // comparisons from which a threshold can be chosen
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
  // kept: what `toKeep` gave
  constructor(kept = []) {
    this.all = new Map(kept.map((found) => [found.name, found]));
    this.choose();
  }

  toKeep() {
    return [...this.all.values()];
  }

  // Add pictures to a new or known class; each counts once. Returns how many were new.
  enroll(name, vectors) {
    const known = this.all.get(name);
    const found = known || { name, sum: null, count: 0, examples: [] };
    let added = 0;
    for (const vector of vectors.map(unit)) {
      if (found.examples.some((example) => dot(example, vector) > 1 - SAME)) continue;
      found.sum = found.sum ? found.sum.map((value, i) => value + vector[i]) : vector.slice();
      found.count += 1;
      added += 1;
      // Those kept are always a random choice of all.
      const place = found.examples.length < MOST_EXAMPLES
        ? found.examples.length
        : Math.floor(Math.random() * found.count);
      if (place < MOST_EXAMPLES) found.examples[place] = Float32Array.from(vector);
    }
    this.all.set(name, found);
    this.choose();
    return added;
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
    const least = this.thresholds ? this.thresholds.get(best.nearest) : -1;
    return { name: best.score >= least ? best.nearest : null, ...best };
  }

  // The smallest cosine of each class: one that a further picture misses at the rate of false
  // alarms, from the examples compared with their class without them.
  choose() {
    const distances = new Map();
    for (const { name, sum, examples } of this.all.values()) {
      distances.set(name, examples.length < 2 ? [] : examples.map((example) => {
        const rest = sum.map((value, i) => value - example[i]);
        const length = Math.sqrt(dot(rest, rest));
        return 1 - (length < 1e-6 ? 0 : dot(example, rest) / length);
      }));
    }
    const chosen = classThresholds(distances, FALSE_ALARMS);
    this.thresholds = chosen && new Map(
      [...chosen].map(([name, distance]) => [name, Math.max(1 - distance, -1)]),
    );
  }
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
  const spread = Math.sqrt(squares / freedom) * student(1 - rate, freedom);
  const chosen = new Map();
  for (const [name, { values, mean }] of logs) {
    const count = values.length;
    let threshold = Math.exp(Math.min(mean + spread * Math.sqrt(1 + 1 / count), 50));
    const place = Math.ceil((count + 1) * (1 - rate));
    const sorted = [...distances.get(name)].sort((a, b) => a - b);
    if (place <= count) threshold = Math.max(threshold, sorted[place - 1]);
    chosen.set(name, threshold);
  }
  const widest = Math.max(...chosen.values());
  return new Map([...distances.keys()].map((name) => [name, chosen.get(name) ?? widest]));
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
