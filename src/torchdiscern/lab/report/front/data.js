// The report's names and numbers; an array is decoded when it is first asked for.

const facts = JSON.parse(document.getElementById("facts").textContent);
const { classes, files } = facts;
const KINDS = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u1: Uint8Array };

/** Resolved when all of the page has been read: the script runs before most of the arrays are there. */
const complete = new Promise((resolve) => {
  if (document.readyState !== "loading") resolve();
  else document.addEventListener("DOMContentLoaded", () => resolve(), { once: true });
});

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const found = atob(text);
  const bytes = new Uint8Array(found.length);
  for (let i = 0; i < found.length; i += 1) bytes[i] = found.charCodeAt(i);
  return bytes;
}

const decoded = new Map();

/** By the name it has in the report, such as `0.top.rows`; null where the report has none. */
function array(name) {
  if (!(name in facts.arrays)) return null;
  if (!decoded.has(name)) {
    const [kind] = facts.arrays[name];
    decoded.set(name, new KINDS[kind](bytesOf(document.getElementById(`array-${name}`).textContent).buffer));
  }
  return decoded.get(name);
}

const shapeOf = (name) => facts.arrays[name]?.[1] ?? null;

/** Counts from 0 to many - 1. */
const range = (many) => Int32Array.from({ length: many }, (_, i) => i);

/** A value computed once for each key. */
function remembered(compute) {
  const known = new Map();
  return (key) => {
    if (!known.has(key)) known.set(key, compute(key));
    return known.get(key);
  };
}

/** One tapped layer. */
class Tapped {
  constructor(index, { name, features, divergence }) {
    Object.assign(this, { index, name, features, divergence: divergence ?? NaN });
  }

  get(name) {
    return array(`${this.index}.${name}`);
  }

  shape(name) {
    return shapeOf(`${this.index}.${name}`);
  }

  share(label, feature) {
    return this.get("distribution")[label * this.features + feature];
  }

  isDead(feature) {
    return this.get("dead")[feature] === 1;
  }

  isBroken(feature) {
    return this.get("broken")[feature] === 1;
  }

  state(feature) {
    if (this.isBroken(feature)) return "broken";
    return this.isDead(feature) ? "dead" : "live";
  }

  /** Of a dead feature there is none. */
  owner(feature) {
    return this.get("owner")[feature];
  }

  /** A row of an array `[D, K]`. */
  row(name, feature) {
    const many = this.shape(name)[1];
    return this.get(name).subarray(feature * many, (feature + 1) * many);
  }
}

const layers = facts.layers.map((layer, index) => new Tapped(index, layer));
/** A share of a feature; where there are many classes, shares are small. */
const shareOf = (share) => percent(share, classes.length > 200 ? 2 : 1);

const lastLayer = layers.length - 1;
const labels = array("labels");
const there = array("there");
const decisions = facts.decisions;
const suspicions = facts.suspicions;

/** Features that can be drawn, by owner and then the largest share first; dead ones stand at the end. */
const byOwner = remembered((layer) => {
  const [owner, share, dead, broken] = ["owner", "share", "dead", "broken"].map((name) => layer.get(name));
  return range(layer.features)
    .filter((j) => !broken[j])
    .sort((a, b) => dead[a] - dead[b] || owner[a] - owner[b] || share[b] - share[a] || a - b);
});

/** How many images each class has. */
const imagesOf = remembered(() => {
  const many = new Int32Array(classes.length);
  for (const label of labels) many[label] += 1;
  return many;
});

/** How many features of a layer each class owns. */
const ownedIn = remembered((layer) => {
  const many = new Int32Array(classes.length);
  for (const owner of layer.get("owner")) if (owner >= 0) many[owner] += 1;
  return many;
});

/** Accuracy of each class; NaN for one without images. */
const accuracyOf = remembered(() => {
  const confusion = array("decisions.confusion");
  return Float64Array.from(classes, (_, c) => {
    const row = confusion.subarray(c * classes.length, (c + 1) * classes.length);
    return row[c] / row.reduce((sum, many) => sum + many, 0);
  });
});

/** A class's indices from the largest of its values down. */
const descending = (values) => range(values.length).sort((a, b) => values[b] - values[a] || a - b);
