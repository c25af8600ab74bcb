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

// as `Decisions.source` has it
const NEAREST_MEAN = "nearest class mean";

/** One network, with its layers and what it makes of the images. */
class Network {
  constructor(index, { name, layers: given, decisions, suspicions }, before) {
    Object.assign(this, { index, name, decisions, suspicions });
    this.layers = given.map((layer, i) => new Tapped(before + i, layer, this));
    this.last = this.layers[this.layers.length - 1];
  }

  /** Of the arrays of `Decisions`. */
  decided(name) {
    return array(`decisions.${this.index}.${name}`);
  }

  /** Of the arrays of `Suspicions`. */
  doubted(name) {
    return array(`suspicions.${this.index}.${name}`);
  }

  /** A row of an array `[N, K]` of its decisions. */
  decidedRow(name, place) {
    const many = shapeOf(`decisions.${this.index}.${name}`)[1];
    return this.decided(name).subarray(place * many, (place + 1) * many);
  }

  /** What a nearest class mean makes of an image is a distance, of which a probability says little. */
  get hasProbabilities() {
    return this.decisions !== null && this.decisions.source !== NEAREST_MEAN;
  }

  /** How far the logit of the class predicted is above that of the label. */
  gap(place) {
    const logits = this.decided("logits");
    return logits[2 * place] - logits[2 * place + 1];
  }

  isRight(place) {
    return this.decided("predicted")[place] === labels[place];
  }
}

/** One tapped layer; its index counts over the layers of all networks. */
class Tapped {
  constructor(index, { name, features, divergence }, network) {
    Object.assign(this, { index, name, features, network, divergence: divergence ?? NaN });
  }

  /** Its name for people, with the network's where there are several. */
  get title() {
    return networks.length > 1 ? `${apart(this.network.name)} · ${apart(this.name)}` : this.name;
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

  /** Of a dead feature or a broken one there is none. */
  owner(feature) {
    return this.get("owner")[feature];
  }

  /** A row of an array `[D, K]`. */
  row(name, feature) {
    const many = this.shape(name)[1];
    return this.get(name).subarray(feature * many, (feature + 1) * many);
  }
}

const networks = [];
for (const one of facts.networks) networks.push(new Network(networks.length, one, networks.reduce((sum, { layers: made }) => sum + made.length, 0)));
const layers = networks.flatMap((network) => network.layers);
const firstShown = networks[0].last;
/** A share of a feature; where there are many classes, shares are small. */
const shareOf = (share) => percent(share, classes.length > 200 ? 2 : 1);

const labels = array("labels");
const there = array("there");

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

/** How many classes have images: with so many an even share is compared, as the others have none. */
const filled = () => imagesOf(0).filter((many) => many > 0).length;

/** How many features of a layer each class owns. */
const ownedIn = remembered((layer) => {
  const many = new Int32Array(classes.length);
  for (const owner of layer.get("owner")) if (owner >= 0) many[owner] += 1;
  return many;
});

/** A network's accuracy of each class; NaN for one without images. */
const accuracyOf = remembered((network) => {
  const confusion = network.decided("confusion");
  return Float64Array.from(classes, (_, c) => {
    const row = confusion.subarray(c * classes.length, (c + 1) * classes.length);
    return row[c] / row.reduce((sum, many) => sum + many, 0);
  });
});

/** A class's indices from the largest of its values down. */
const descending = (values) => range(values.length).sort((a, b) => values[b] - values[a] || a - b);

/** A layer's name, with the network's where there are several. */
const namedLayer = (layer) => (networks.length > 1 ? [named(layer.network.name), " · ", named(layer.name)] : named(layer.name));
