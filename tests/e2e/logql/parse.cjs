// SPDX-License-Identifier: Apache-2.0
// node parse.cjs DIR: parses LogQL queries with the grammar that install.sh installed in DIR. Reads
// a JSON array of queries from stdin. Writes a JSON array with one element for each query: null, or
// the offset of the first syntax error.
const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const { parser } = createRequire(path.join(path.resolve(process.argv[2]), "package.json"))(
  "@grafana/lezer-logql"
);

function firstError(query) {
  let offset = null;
  // The parser recovers from errors and marks each in the tree.
  parser.parse(query).iterate({
    enter(node) {
      if (node.type.isError && offset === null) offset = node.from;
    },
  });
  return offset;
}

const queries = JSON.parse(fs.readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(queries.map(firstError)));
