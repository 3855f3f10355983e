// A decoder for one learned file of a whole picture, written from ../format.md: RGB, without boxes and stages.
// Symbols need integers alone; pixels need the networks, which ONNX Runtime runs.

const RATIOS = [6, 16, 26, 35, 45, 54, 64, 77, 93, 115, 147, 192, 288];
const PASSES = 3, TOTAL = 2 ** 24, WORD = 2n ** 32n;

// The arrays of an .npz file (a zip of .npy files) by name: { shape, data }.
export const readArrays = async bytes => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), arrays = {};
  let end = bytes.length - 22;
  while (view.getUint32(end, true) !== 0x06054b50) end--;
  let place = view.getUint32(end + 16, true);
  for (let count = view.getUint16(end + 10, true); count; count--) {
    const [nameLength, extra, comment] = [28, 30, 32].map(at => view.getUint16(place + at, true));
    const name = new TextDecoder().decode(bytes.subarray(place + 46, place + 46 + nameLength));
    const head = view.getUint32(place + 42, true);
    const start = head + 30 + view.getUint16(head + 26, true) + view.getUint16(head + 28, true);
    const packed = bytes.subarray(start, start + view.getUint32(place + 20, true));
    arrays[name.replace(".npy", "")] = readArray(view.getUint16(place + 10, true) ? await inflate(packed) : packed.slice());
    place += 46 + nameLength + extra + comment;
  }
  return arrays;
};
const inflate = async bytes => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer());
const TYPES = { "|i1": Int8Array, "<i2": Int16Array, "<i4": Int32Array, "<u4": Uint32Array, "<f4": Float32Array, "<i8": BigInt64Array };
const readArray = bytes => {
  const length = new DataView(bytes.buffer).getUint16(8, true), head = new TextDecoder().decode(bytes.subarray(10, 10 + length));
  const [, kind] = /'descr': '([^']+)'/.exec(head), [, shape] = /'shape': \(([^)]*)\)/.exec(head);
  return { shape: shape.split(",").filter(side => side.trim()).map(Number), data: new TYPES[kind](bytes.slice(10 + length).buffer) };
};

export const readFile = bytes => {
  let place = 5;
  const varint = () => { for (let value = 0, shift = 1; ; shift *= 128) { const byte = bytes[place++]; value += (byte & 127) * shift; if (byte < 128) return value; } };
  if ([0xae, 0x43, 0x0d, 0x0a, 0x10].some((byte, at) => bytes[at] !== byte)) throw new Error("not a learned RGB file without boxes");
  const [width, height] = [varint(), varint()], fingerprint = bytes.slice(place, place + 4);
  const quality = (bytes[place + 4] | bytes[place + 5] << 8) & 0x3fff, set = bytes[place + 6];
  place += 7;
  const length = varint();
  return { width, height, fingerprint, quality, set, payload: bytes.slice(place, place + length) };
};

// The entropy coder: a state of 64 bits and words of 32.
class Stack {
  constructor(payload) {
    this.words = [...new Uint32Array(payload.buffer)];
    this.x = 0n;
    this.fill();
  }
  fill() { while (this.x < WORD && this.words.length) this.x = this.x << 32n | BigInt(this.words.pop()); }
  pop(below) {
    const rest = Number(this.x & 0xffffffn);
    let code = 0, above = below.length - 1; // below[code] <= rest < below[above]
    while (above - code > 1) { const middle = code + above >> 1; if (below[middle] <= rest) code = middle; else above = middle; }
    this.advance(below[code + 1] - below[code], rest - below[code]);
    return code;
  }
  popUniform() { const rest = Number(this.x & 0xffffffn); this.advance(256, rest & 255); return rest >> 8; }
  advance(frequency, offset) { this.x = (this.x >> 24n) * BigInt(frequency) + BigInt(offset); this.fill(); }
}
const frequencies = counts => {
  const below = [0n];
  for (const count of counts) below.push(below[below.length - 1] + BigInt(count));
  const n = counts.length, total = below[n];
  return Uint32Array.from(below, (sum, k) => Number(BigInt(k) + sum * BigInt(TOTAL - n) / total));
};
const offsetsAt = ({ shape: [rows, columns], data }, quality) => {
  const at = quality * (rows - 1), p = Math.floor(at / 10000), f = at % 10000;
  return Array.from({ length: columns }, (_, column) => {
    const here = data[p * columns + column], next = f ? data[(p + 1) * columns + column] : here;
    return Math.floor((here * (10000 - f) + next * f + 5000) / 10000);
  });
};

const hyperPass = (row, column) => row % 2 === column % 2 ? row % 2 : 2;
const decodeHyperLatent = (tables, stack, file, h, w) => {
  const Z = tables.z_in_place.shape[1], low = Number(tables.z_low.data[0]), [, contexts, size] = tables.z_counts.shape, span = size >> 1;
  const offset = offsetsAt(tables.z_offset, file.quality), z = new Int32Array(Z * h * w), cached = new Map();
  const cdf = context => {
    if (!cached.has(context)) { const start = (file.set * contexts + context) * size; cached.set(context, frequencies(tables.z_counts.data.subarray(start, start + size))); }
    return cached.get(context);
  };
  for (let number = 0; number < PASSES; number++) {
    const positions = [];
    for (let row = 0; row < h; row++) for (let column = 0; column < w; column++) if (hyperPass(row, column) === number) positions.push([row * w + column, number ? neighbourMean(z, Z, h, w, number, row, column) : null]);
    for (let channel = 0; channel < Z; channel++) {
      const coded = positions.map(([place, mean]) => {
        let e = offset[number * Z + channel];
        for (let other = 0; other < channel; other++) e += tables.z_in_place.data[(number * Z + channel) * Z + other] * z[other * h * w + place];
        e *= 12;
        if (number) for (let other = 0; other < Z; other++) e += tables.z_around.data[((number - 1) * Z + channel) * Z + other] * mean[other];
        const origin = Math.min(Math.max(Math.floor(e / 12288), low), low + span);
        return [88 * number + Math.min(Math.max(Math.floor(4 * e / 12288), -24), 63) + 24, origin, channel * h * w + place];
      }).sort((a, b) => a[0] - b[0]); // stable
      for (const [context, origin, place] of coded) z[place] = stack.pop(cdf(context)) + origin - span;
    }
  }
  return z;
};
const neighbourMean = (z, Z, h, w, number, row, column) => {
  const beside = number === 2 ? [[-1, 0], [1, 0], [0, -1], [0, 1]] : [[-1, -1], [-1, 1], [1, -1], [1, 1]];
  const inside = beside.map(([y, x]) => [row + y, column + x]).filter(([y, x]) => y >= 0 && y < h && x >= 0 && x < w);
  return Array.from({ length: Z }, (_, channel) => Math.floor(inside.reduce((sum, [y, x]) => sum + z[(channel * h + y) * w + x], 0) * 12 / Math.max(inside.length, 1)));
};

const scaleIndices = (tables, z, quality, h, w) => {
  const [outputs, inputs] = tables.scale_weight.shape, offset = offsetsAt(tables.scale_offset, quality), weight = tables.scale_weight.data;
  const index = new Int32Array(outputs * h * w), near = new Float64Array(inputs);
  for (let row = 0; row < h; row++) for (let column = 0; column < w; column++) {
    for (let k = 0; k < inputs; k++) {
      const y = Math.min(Math.max(row + Math.floor(k % 9 / 3) - 1, 0), h - 1), x = Math.min(Math.max(column + k % 3 - 1, 0), w - 1);
      near[k] = z[(Math.floor(k / 9) * h + y) * w + x];
    }
    for (let output = 0; output < outputs; output++) {
      let sum = offset[output >> 2];
      for (let k = 0; k < inputs; k++) sum += weight[output * inputs + k] * near[k];
      index[((output >> 2) * 2 * h + 2 * row + (output >> 1 & 1)) * 2 * w + 2 * column + (output & 1)] = Math.min(Math.max(Math.floor((sum + 128) / 256), 0), 63);
    }
  }
  return index;
};

// The pass of each latent, for M channels of rows x columns.
const passesOf = (M, rows, columns) => {
  const passes = new Uint8Array(M * rows * columns);
  let place = 0;
  for (let m = 0; m < M; m++) for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) passes[place++] = (m + row + column) % 2 ? 2 : (row + (m >> 1)) % 2;
  return passes;
};
const NEIGHBOURS = [];
for (let y = -1; y <= 1; y++) for (let x = -1; x <= 1; x++) if (y || x) NEIGHBOURS.push([0, y, x, y && x ? 1 : 2]);
for (let m = -8; m <= 8; m++) if (m) NEIGHBOURS.push([m, 0, 0, Math.abs(m) <= 3 ? 2 : 1]);
const sumAround = (values, M, rows, columns, m, row, column) => {
  let sum = 0;
  for (const [dm, dy, dx, weight] of NEIGHBOURS) {
    const k = m + dm, y = row + dy, x = column + dx;
    if (k >= 0 && k < M && y >= 0 && y < rows && x >= 0 && x < columns) sum += weight * values[(k * rows + y) * columns + x];
  }
  return sum;
};
const decodeSymbols = (tables, stack, index, M, rows, columns) => {
  const symbols = new Int16Array(index.length), passes = passesOf(M, rows, columns), first = Number(tables.first_level.data[0]);
  const reach = tables.y_reach.data, starts = [0], cached = new Map();
  for (const each of reach) starts.push(starts[starts.length - 1] + 2 * each + 2);
  const cdf = level => { if (!cached.has(level)) cached.set(level, frequencies(tables.y_counts.data.subarray(starts[level], starts[level + 1]))); return cached.get(level); };
  const loudness = new Int32Array(index.length), magnitude = new Int32Array(index.length); // of what is known
  for (let number = 0; number < PASSES; number++) {
    const byLevel = Array.from({ length: 64 }, () => []), escapes = [];
    let place = 0;
    for (let m = 0; m < M; m++) for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++, place++) {
      if (passes[place] !== number || index[place] < first) continue;
      let level = index[place];
      if (number) {
        const loud = sumAround(loudness, M, rows, columns, m, row, column), due = sumAround(magnitude, M, rows, columns, m, row, column);
        const ratio = Math.floor((1024 * loud + 128) / (due + 2)), step = RATIOS.filter(each => each <= ratio).length;
        level = Math.min(Math.max(level + tables.level_shift.data[level * (RATIOS.length + 1) + step], 0), 63);
      }
      byLevel[level].push(place);
    }
    for (const [level, places] of byLevel.entries()) for (const place of places) {
      const code = stack.pop(cdf(level));
      if (code === 2 * reach[level] + 1) escapes.push(place); else symbols[place] = code - reach[level];
    }
    for (const place of escapes) symbols[place] = stack.popUniform() - 2 ** 15;
    for (let place = 0; place < index.length; place++) if (passes[place] === number) {
      loudness[place] = Math.min(Math.abs(symbols[place]), 200);
      magnitude[place] = index[place] < first ? 0 : tables.magnitude.data[index[place]];
    }
  }
  return symbols;
};

// z, scale indices and symbols, all integers; raises where the stream does not end with the picture.
export const decodeStream = (tables, file) => {
  const stack = new Stack(file.payload), [h, w] = [file.height, file.width].map(side => Math.ceil(side / 32));
  const M = tables.scale_weight.shape[0] / 4, z = decodeHyperLatent(tables, stack, file, h, w);
  const index = scaleIndices(tables, z, file.quality, h, w), symbols = decodeSymbols(tables, stack, index, M, 2 * h, 2 * w);
  if (stack.popUniform() !== 65535 || stack.x || stack.words.length) throw new Error("the stream does not end with the picture");
  return { z, index, symbols, M, h, w };
};

// The picture as RGBA; `run(name, inputs)` runs a network on { input: [data, shape] } and gives its outputs in order.
export const synthesise = async (tables, file, { z, index, symbols, M, h, w }, run) => {
  const shape = [1, M, 2 * h, 2 * w], passes = passesOf(M, 2 * h, 2 * w), quality = [Float32Array.of(file.quality / 100), [1]];
  const steps = Float32Array.from(symbols, (symbol, place) => symbol - Math.sign(symbol) * tables.inward.data[index[place]]);
  const known = new Float32Array(symbols.length);
  let [features, means] = await run("first_means", { quality, z: [Float32Array.from(z), [1, z.length / h / w, h, w]] });
  for (const [number, name] of ["first_means", "second_means", "third_means"].entries()) {
    if (number) ([means] = await run(name, { quality, features: [features.data, features.dims], means: [means.data, shape], known: [known, shape] }));
    for (let place = 0; place < known.length; place++) if (passes[place] === number) known[place] = means.data[place] + steps[place];
  }
  const [picture] = await run("synthesis", { quality, y: [known, shape] });
  const [, , rows, columns] = picture.dims, pixels = new Uint8ClampedArray(4 * file.width * file.height);
  for (let row = 0, place = 0; row < file.height; row++) for (let column = 0; column < file.width; column++) {
    for (let colour = 0; colour < 3; colour++) pixels[place++] = 255 * picture.data[(colour * rows + row) * columns + column]; // rounds half to even
    pixels[place++] = 255;
  }
  return pixels;
};
