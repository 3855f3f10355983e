// A zip of files as they are, without compression: .aec files have nothing left to compress (APPNOTE 6.3.10, 4.3).
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? 0xedb88320 ^ rest >>> 1 : rest >>> 1;
  return rest;
});
const crc32 = bytes => {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ crc >>> 8;
  return (crc ^ 0xffffffff) >>> 0;
};
// Fields of 2 or 4 bytes, little end first, given as [bytes, value].
const packed = fields => {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  let place = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(place, value, true); else view.setUint32(place, value, true);
    place += size;
  }
  return new Uint8Array(view.buffer);
};
const UTF8_NAMES = 0x0800, VERSION = 20, FIRST_DAY = 0x0021; // of 1980, as no time is told
// A Blob of files, each { name, bytes }.
const zipOf = files => {
  const parts = [], index = [];
  let place = 0, indexed = 0;
  for (const { name, bytes } of files) {
    const text = new TextEncoder().encode(name);
    const shared = [[2, VERSION], [2, UTF8_NAMES], [2, 0], [2, 0], [2, FIRST_DAY], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length], [2, text.length], [2, 0]];
    const head = packed([[4, 0x04034b50], ...shared]);
    const entry = packed([[4, 0x02014b50], [2, VERSION], ...shared, [2, 0], [2, 0], [2, 0], [4, 0], [4, place]]);
    parts.push(head, text, bytes);
    index.push(entry, text);
    place += head.length + text.length + bytes.length;
    indexed += entry.length + text.length;
  }
  const end = packed([[4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, indexed], [4, place], [2, 0]]);
  return new Blob([...parts, ...index, end], { type: "application/zip" });
};
