// Puts a build of Vite into the layout that the gateway serves: `node compress.mjs FOLDER`.
//
// The folder `assets` becomes `identity/assets`, and every asset is also written, compressed, into `gzip/assets` and `br/assets`.

import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const folder = process.argv[2];
const encodings = {
  gzip: (content) => gzipSync(content, { level: 9 }),
  br: (content) =>
    brotliCompressSync(content, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
        [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
      },
    }),
};

mkdirSync(join(folder, "identity"));
renameSync(join(folder, "assets"), join(folder, "identity", "assets"));
for (const [encoding, compress] of Object.entries(encodings)) {
  mkdirSync(join(folder, encoding, "assets"), { recursive: true });
  for (const name of readdirSync(join(folder, "identity", "assets"))) {
    writeFileSync(join(folder, encoding, "assets", name), compress(readFileSync(join(folder, "identity", "assets", name))));
  }
}
