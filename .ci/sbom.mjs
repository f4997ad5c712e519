// From what `cargo metadata` says, on standard input, to a CycloneDX document on standard output.
import { readFileSync } from "node:fs";

const metadata = JSON.parse(readFileSync(0, "utf8"));
const packages = new Map(metadata.packages.map((each) => [each.id, each]));
const nodes = new Map(metadata.resolve.nodes.map((each) => [each.id, each]));

// What is compiled in: dependencies that are neither for tests nor for building. Procedural macros
// run in the compiler, but what they write is compiled in.
const dependencies = (id) =>
  nodes.get(id).deps.filter((to) => to.dep_kinds.some((kind) => kind.kind === null)).map((to) => to.pkg);
const root = metadata.resolve.root;
const reached = new Set([root]);
for (const id of reached) dependencies(id).forEach((to) => reached.add(to));

const checksums = new Map();
for (const entry of readFileSync("Cargo.lock", "utf8").split("[[package]]")) {
  const field = (name) => entry.match(new RegExp(`^${name} = "(.*)"$`, "m"))?.[1];
  checksums.set(`${field("name")}@${field("version")}`, field("checksum"));
}

const purl = ({ name, version }) => `pkg:cargo/${name}@${version}`;
const component = (id) => {
  const each = packages.get(id);
  const checksum = checksums.get(`${each.name}@${each.version}`);
  return {
    type: id === root ? "application" : "library",
    "bom-ref": purl(each),
    name: each.name,
    version: each.version,
    purl: purl(each),
    ...(each.license && { licenses: [{ expression: each.license.replaceAll("/", " OR ") }] }),
    ...(checksum && { hashes: [{ alg: "SHA-256", content: checksum }] }),
  };
};

const sorted = [...reached].sort((a, b) => (purl(packages.get(a)) < purl(packages.get(b)) ? -1 : 1));
const document = {
  bomFormat: "CycloneDX",
  specVersion: "1.5",
  version: 1,
  metadata: { component: component(root) },
  components: sorted.filter((id) => id !== root).map(component),
  dependencies: sorted.map((id) => ({
    ref: purl(packages.get(id)),
    dependsOn: dependencies(id).map((to) => purl(packages.get(to))).sort(),
  })),
};
process.stdout.write(JSON.stringify(document, null, 2) + "\n");
