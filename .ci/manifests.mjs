// Validates the manifests for Kubernetes against the schemas of Kubernetes and of the Prometheus
// operator, which come as npm packages. Exits with 1 and one line for each fault.
//
//   node .ci/manifests.mjs packaging/kubernetes
import { readFileSync, readdirSync } from "node:fs";
import { parse, parseAllDocuments } from "yaml";

import { ConfigMap, Service, ServiceAccount } from "kubernetes-models/v1";
import { Deployment } from "kubernetes-models/apps/v1";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

// What an installation consists of. A Secret is not among it, so none can be in the tree.
const MODELS = [
  ConfigMap, Deployment, NetworkPolicy, PodDisruptionBudget, Service, ServiceAccount, ServiceMonitor,
];

// A copy of a value that notes which of its properties are never read.
function watched(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  const copy = Array.isArray(value) ? [] : {};
  for (const [name, inner] of Object.entries(value)) {
    const at = `${path}.${name}`;
    const seen = watched(inner, at, unread);
    unread.add(at);
    const get = () => (unread.delete(at), seen);
    Object.defineProperty(copy, name, { enumerable: true, get });
  }
  return copy;
}

// Faults of one object. The validators accept properties that they do not know. They read all that
// they do know, so one that was not read is unknown, and Kubernetes would ignore it.
function faults(object) {
  const { apiVersion, kind } = object;
  const model = MODELS.find((each) => each.apiVersion === apiVersion && each.kind === kind);
  if (!model) return [`${apiVersion} ${kind} is not expected here`];
  const unread = new Set();
  const found = [];
  try {
    model.prototype.validate.call(watched(object, kind, unread));
  } catch (error) {
    found.push(error.message);
  }
  return [...found, ...[...unread].map((at) => `${at} is unknown`)];
}

// Names by which the objects refer to each other.
function brokenReferences(objects) {
  const of = (kind) => objects.filter((object) => object.kind === kind);
  const pod = of("Deployment")[0].spec.template;
  const [container] = pod.spec.containers;
  const ports = new Set(container.ports.map((port) => port.name));
  const volumes = new Set(pod.spec.volumes.map((volume) => volume.name));
  const broken = [];
  const expect = (is, what) => is || broken.push(what);
  const uses = (port, what) => expect(ports.has(port), `${what}: no port ${port}`);
  const selects = (labels, what) => {
    const all = Object.entries(labels).every(([name, value]) => pod.metadata.labels[name] === value);
    expect(all, `${what}: selects no pod`);
  };
  for (const name of ["startupProbe", "livenessProbe", "readinessProbe"]) {
    uses(container[name].httpGet.port, name);
  }
  container.volumeMounts.forEach((at) => expect(volumes.has(at.name), `no volume ${at.name}`));
  selects(of("Deployment")[0].spec.selector.matchLabels, "Deployment");
  for (const { metadata, spec } of of("Service")) {
    selects(spec.selector, metadata.name);
    spec.ports.forEach((port) => uses(port.targetPort, metadata.name));
  }
  of("PodDisruptionBudget").forEach((each) => selects(each.spec.selector.matchLabels, each.kind));
  for (const { kind, spec } of of("NetworkPolicy")) {
    selects(spec.podSelector.matchLabels, kind);
    spec.ingress.forEach((rule) => rule.ports.forEach(({ port }) => uses(port, kind)));
  }
  for (const { kind, spec } of of("ServiceMonitor")) {
    const wanted = Object.entries(spec.selector.matchLabels);
    const service = of("Service").find(({ metadata }) =>
      wanted.every(([name, value]) => metadata.labels?.[name] === value));
    expect(service, `${kind}: selects no service`);
    const named = service?.spec.ports.map((port) => port.name) ?? [];
    spec.endpoints.forEach(({ port }) => expect(named.includes(port), `${kind}: no port ${port}`));
  }
  return broken;
}

// Properties that hold a map with free names.
const MAPS = ["labels", "limits", "matchLabels", "requests"];

// Every copy of an object in which one property is misspelt.
function* misspelt(object, root = object, isFree = false) {
  if (object === null || typeof object !== "object") return;
  for (const [name, value] of Object.entries(object)) {
    // The selector of a Service is a map of labels; that of others has them in `matchLabels`.
    const isMap = MAPS.includes(name) || (name === "selector" && root.kind === "Service");
    yield* misspelt(value, root, isMap);
    if (isFree || Array.isArray(object)) continue;
    delete object[name];
    object[`${name}x`] = value;
    yield [structuredClone(root), name];
    delete object[`${name}x`];
    object[name] = value;
  }
}

const folder = process.argv[2];
const version = "1.1"; // of YAML, as Kubernetes reads it: 0440 is octal
const read = (path) => readFileSync(`${folder}/${path}`, "utf8");
const wrong = [];
const objects = [];
// The base, and what a kustomization can add to it.
for (const part of [".", "monitoring"]) {
  const names = readdirSync(`${folder}/${part}`).filter((name) => name.endsWith(".yaml")).sort();
  const kustomization = parse(read(`${part}/kustomization.yaml`), { version });
  const listed = [...kustomization.resources, "kustomization.yaml"].sort();
  if (listed.join() !== names.join()) wrong.push(`${part} lists ${listed}, not ${names}`);
  for (const file of kustomization.resources) {
    for (const document of parseAllDocuments(read(`${part}/${file}`), { version })) {
      document.errors.forEach((error) => wrong.push(`${file}: ${error.message}`));
      const object = document.toJS();
      faults(object).forEach((fault) => wrong.push(`${file}: ${fault}`));
      objects.push(object);
    }
  }
}
wrong.push(...brokenReferences(objects));

// The check is checked: whatever is misspelt must be found.
let tried = 0;
for (const object of objects) {
  for (const [changed, name] of misspelt(structuredClone(object))) {
    tried += 1;
    if (faults(changed).length === 0) wrong.push(`${object.kind}: a misspelt ${name} is not found`);
  }
}
wrong.forEach((fault) => console.error(fault));
if (wrong.length === 0) {
  console.log(`${objects.length} objects follow their schemas; ${tried} misspellings were found.`);
}
process.exitCode = wrong.length === 0 ? 0 : 1;
