// The scripts that a browser loads before it shows any page: those that the document names. DIST is the folder of the build.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const dist = process.env.DIST ?? "dist";
const document = readFileSync(join(dist, "index.html"), "utf8");
const scripts = [...document.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map((match) => match[1]);
const folder = process.env.DIST ? join(dist, "identity") : dist;
if (scripts.length === 0) throw new Error(`${join(dist, "index.html")} names no script`);

export default [{ name: "initial scripts, gzipped", path: scripts.map((script) => join(folder, script)), gzip: true, limit: "250 kB" }];
