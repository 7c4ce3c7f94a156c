// Parses and validates an interchange with ts-edifact (Validator and Tracker), in the way its README shows.
// node peers.js <folder with node_modules> <specification> <file> <rounds>: prints seconds of processor time and messages.
const path = require("path");
const fs = require("fs");
const [modules, specification, file, rounds] = process.argv.slice(2);
const lib = path.resolve(modules, "node_modules/ts-edifact/lib");
const { Parser } = require(path.join(lib, "parser.js"));
const { Configuration } = require(path.join(lib, "configuration.js"));
const { ValidatorImpl, Dictionary } = require(path.join(lib, "validator.js"));
const { Tracker } = require(path.join(lib, "tracker.js"));
const { segments, elements, structure } = JSON.parse(fs.readFileSync(specification));
const text = fs.readFileSync(file, "latin1");

const times = [];
let messages = 0;
for (let round = 0; round < Number(rounds); round++) {
  const validator = new ValidatorImpl(true);
  validator.define(new Dictionary(segments));
  validator.define(new Dictionary(elements));
  const parser = new Parser(new Configuration({ validator }));
  let tracker = new Tracker(structure);
  messages = 0;
  parser.onOpenSegment = (tag) => {
    if (tag === "UNB" || tag === "UNZ" || tag === "UNA") return;
    if (tag === "UNH") {
      tracker = new Tracker(structure);
      messages++;
    }
    tracker.accept(tag);
  };
  const start = process.cpuUsage();
  parser.updateCharset("UNOC");
  for (let at = 0; at < text.length; at += 65536) parser.write(text.slice(at, at + 65536));
  parser.end();
  const used = process.cpuUsage(start);
  times.push((used.user + used.system) / 1e6);
}
console.log(JSON.stringify({ seconds: Math.min(...times), messages, memory: process.resourceUsage().maxRSS * 1024 }));
