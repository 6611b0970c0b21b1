// A picture becomes what the network sees, to the byte as s2bnn_runtime prepares it by Pillow:
// resized until it just covers the input, antialiased and bilinear, and its center kept.
'use strict';

const PRECISION_BITS = 22; // of Pillow's coefficients

// As Python rounds: halves to the even number.
function roundHalfToEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

// The height and width at which a picture just covers the input, divided by the share kept.
function coveringShape(height, width, shape, kept) {
  const [high, wide] = shape.slice(0, 2).map((side) => roundHalfToEven(side / kept));
  if (high * width >= wide * height) return [high, Math.trunc((high * width) / height)];
  return [Math.trunc((wide * height) / width), wide];
}

// What the lines `begin` to `begin + count` are made from when `source` lines become `length`:
// for each the first line that is read, and its factors.
function coefficients(source, length, begin, count) {
  const scale = source / length;
  const support = Math.max(scale, 1);
  const lines = [];
  for (let line = begin; line < begin + count; ++line) {
    const center = (line + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const last = Math.min(Math.trunc(center + support + 0.5), source);
    const weights = [];
    let total = 0;
    for (let tap = first; tap < last; ++tap) {
      const distance = Math.abs((tap - center + 0.5) * (1 / support));
      weights.push(distance < 1 ? 1 - distance : 0);
      total += weights[weights.length - 1];
    }
    const fixed = weights.map((weight) => (weight / total) * 2 ** PRECISION_BITS + 0.5);
    lines.push({ first, factors: Int32Array.from(fixed, Math.trunc) });
  }
  return lines;
}

// Make lines from the lines that they are made from: columns or rows, as the strides say.
function resample(pixels, lines, target, across, strideAlong, strideAcross, depth) {
  const { length: count } = lines;
  for (let line = 0; line < count; ++line) {
    const { first, factors } = lines[line];
    for (let other = 0; other < across; ++other) {
      for (let channel = 0; channel < depth; ++channel) {
        let sum = 1 << (PRECISION_BITS - 1);
        let at = first * strideAlong + other * strideAcross + channel;
        for (let tap = 0; tap < factors.length; ++tap, at += strideAlong) {
          sum += pixels[at] * factors[tap];
        }
        target(line, other, channel, sum >> PRECISION_BITS);
      }
    }
  }
}

// A window of a picture that is resized to `shape`: uint8, row by row.
function resizeWindow(pixels, height, width, depth, shape, box) {
  const [top, left, rows, columns] = box;
  const vertical = coefficients(height, shape[0], top, rows);
  const horizontal = coefficients(width, shape[1], left, columns);
  const begin = vertical[0].first;
  const last = vertical[rows - 1];
  const needed = last.first + last.factors.length - begin;
  // Pillow's order: along the rows first. Bytes between the passes are rounded and clipped.
  const between = new Uint8ClampedArray(needed * columns * depth);
  resample(
    pixels.subarray(begin * width * depth), horizontal,
    (line, other, channel, value) => {
      between[(other * columns + line) * depth + channel] = value;
    },
    needed, depth, width * depth, depth,
  );
  for (const line of vertical) line.first -= begin;
  const result = new Uint8ClampedArray(rows * columns * depth);
  resample(
    between, vertical,
    (line, other, channel, value) => {
      result[(line * columns + other) * depth + channel] = value;
    },
    columns, columns * depth, depth, depth,
  );
  return result;
}

// What the network sees of a picture.
//   rgba: opaque pixels, row by row, as a canvas gives them
//   shape: height, width and channels of the input, 3 or 1
//   kept: the share that the center crop keeps
function see(rgba, height, width, shape, kept) {
  const depth = shape[2];
  const pixels = new Uint8Array(height * width * depth);
  for (let i = 0, at = 0; i < rgba.length; i += 4) {
    if (depth === 1) { // the luma, by Pillow's integers
      pixels[at++] = (rgba[i] * 19595 + rgba[i + 1] * 38470 + rgba[i + 2] * 7471 + 32768) >> 16;
    } else {
      pixels[at++] = rgba[i];
      pixels[at++] = rgba[i + 1];
      pixels[at++] = rgba[i + 2];
    }
  }
  const whole = coveringShape(height, width, shape, kept);
  const offset = whole.map((length, i) => roundHalfToEven((length - shape[i]) / 2));
  return resizeWindow(pixels, height, width, depth, whole, [...offset, shape[0], shape[1]]);
}
