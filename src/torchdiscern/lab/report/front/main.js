// Addresses and views: what stands after the # says what is shown, so links, back and forward work.

const shown = { layer: firstShown, address: null, redraw: null };
const places = new Map();

/** Addresses of views. */
const to = {
  feature: (layer, feature) => `#/feature/${layer.index}/${feature}`,
  features: (layer = shown.layer) => `#/features${inLayer(layer)}`,
  overview: (layer = shown.layer) => `#/${inLayer(layer)}`,
  classes: () => `#/classes${inLayer(shown.layer)}`,
  class: (label) => `#/class/${label}${inLayer(shown.layer)}`,
  images: (asked = []) => `#/images${inNetwork(asked)}`,
  image: (place, network = shown.layer.network) => `#/image/${place}${inNetwork([], network)}`,
  labels: () => `#/labels${inNetwork()}`,
  changes: () => `#/changes${inLayer(shown.layer)}`,
};

/** With one network an address says its layer only where that is not the last; with several it always does. */
function inLayer(layer) {
  return networks.length < 2 && layer === firstShown ? "" : `?layer=${layer.index}`;
}

/** Of views that are about a network as a whole; `asked` are other parameters, by name. */
function inNetwork(asked = [], network = shown.layer.network) {
  const all = [...(networks.length > 1 ? [["network", network.index]] : []), ...asked];
  return all.length ? `?${new URLSearchParams(all)}` : "";
}

/** Of an address's parameters those that outlive a change of filters. */
const kept = (asked) => ["layer", "network"].filter((name) => asked.has(name)).map((name) => [name, asked.get(name)]);

// of an address that was shown: a new one comes without it, one that back or forward leads to has it
const SEEN = { seen: true };

/** Puts what is shown into the address without showing it anew. */
function goQuietly(address, step) {
  if (step) leave();
  history[step ? "pushState" : "replaceState"](SEEN, "", address);
  shown.address = location.hash;
}

const foldsShown = () => Array.from(document.querySelectorAll("main details")).filter((one) => folds.has(one));
const gridsShown = () => Array.from(document.querySelectorAll("main .grid"), (one) => grids.get(one));

/** Remembers where in the view a person is. */
function leave() {
  places.set(shown.address, { down: scrollY, open: foldsShown().map((one) => one.open), tables: gridsShown().map((one) => one.place) });
}

/** Back to where a person was; tells whether the focus went back too. */
function comeBack({ down, open, tables }) {
  foldsShown().forEach((one, i) => open[i] && unfold(one));
  gridsShown().forEach((one, i) => tables[i] && one.comeBack(tables[i]));
  scrollTo(0, down);
  return gridsShown().some((one) => one.place.focused);
}

let wholeRead = false;
complete.then(() => (wholeRead = true));

/** A large part that is built when the page has all its numbers. */
function later(build) {
  if (wholeRead) return build();
  const room = h("div", {}, h("p", { class: "none" }, "Reading…"));
  complete.then(() => room.replaceChildren(build()));
  return room;
}

const VIEWS = [
  ["overview", "Overview"],
  ["features", "Features"],
  ["classes", "Classes"],
  ["images", "Images"],
  ["labels", "Suspicious labels"],
  ...(facts.changes ? [["changes", "What changed"]] : []),
];
const OF_A_NETWORK = ["images", "labels"];
const HOME = { feature: "features", class: "classes", image: "images" };

/** An index out of the address, if there is such a thing. */
function index(text, many) {
  return /^\d+$/.test(text ?? "") && Number(text) < many ? Number(text) : null;
}

/** What an address asks for: `{view, layer, title, build}`. */
function read(address) {
  const [path, search = ""] = address.replace(/^#?\/?/, "").split("?");
  const [view = "", first, second] = path.split("/");
  const asked = new URLSearchParams(search);
  const chosen = layers[index(view === "feature" ? first : asked.get("layer"), layers.length)];
  const layer = chosen ?? networks[index(asked.get("network"), networks.length) ?? 0].last;
  const { network } = layer;
  const none = (words, href, text) => ({ view: HOME[view] ?? view, layer, title: words, build: () => [h("h1", { tabindex: -1 }, words), h("p", {}, link(href, text))] });
  if (view === "") return { view: "overview", layer, title: "Overview", build: () => overview(layer), early: true };
  if (view === "features") return { view, layer, title: "Features", build: () => featuresView(layer, asked) };
  if (view === "classes") return { view, layer, title: "Classes", build: () => classesView(layer, asked) };
  if (view === "images") return { view, layer, title: "Images", build: () => imagesView(network, asked) };
  if (view === "labels") return { view, layer, title: "Suspicious labels", build: () => labelsView(network) };
  if (view === "changes" && facts.changes) return { view, layer, title: "What changed", build: () => changesView(asked) };
  if (view === "feature") {
    const feature = index(second, layer.features);
    if (feature === null || index(first, layers.length) === null) return none("There is no such feature", to.features(layer), "All features");
    return { view: "features", layer, title: `Feature ${feature} of ${layer.title}`, build: () => featureView(layer, feature) };
  }
  if (view === "class") {
    const label = index(first, classes.length);
    if (label === null) return none("There is no such class", to.classes(), "All classes");
    return { view: "classes", layer, title: `Class ${classes[label]}`, build: () => classView(layer, label) };
  }
  if (view === "image") {
    const place = index(first, files.length);
    if (place === null) return none("There is no such image", to.images(), "All images");
    return { view: "images", layer, title: files[place], build: () => imageView(network, place) };
  }
  return none("There is no such view", "#/", "Overview");
}

async function show() {
  const address = location.hash;
  if (address && !address.startsWith("#/")) return;
  if (address === shown.address) return;
  const before = shown.address;
  if (before !== null) leave();
  const again = history.state?.seen;
  history.replaceState(SEEN, "");
  shown.address = address;
  const found = read(address);
  shown.layer = found.layer;
  if (!found.early || found.layer !== firstShown) await complete;
  if (shown.address !== address) return;
  shown.redraw = null;
  drawFrame(found);
  const main = document.getElementById("main");
  main.replaceChildren(...found.build().flat(Infinity).filter(Boolean));
  document.title = `${found.title} – ${facts.title}`;
  const place = again && places.get(address);
  if (!place) scrollTo(0, 0);
  if (!(place && comeBack(place)) && before !== null) main.querySelector("h1").focus({ preventScroll: true });
  document.documentElement.dataset.view = found.view;
}

/** The navigation and the choice of a network and a layer, for what is shown. */
function drawFrame({ view, layer }) {
  const items = VIEWS.map(([name, text]) => h("li", {}, h("a", { href: to[name](), "aria-current": name === view ? "page" : null }, text)));
  document.getElementById("views").replaceChildren(...items);
  drawChoice(view, layer);
}

function drawChoice(view, layer) {
  const ofNetwork = OF_A_NETWORK.includes(view);
  const some = networks.length > 1;
  const room = document.getElementById("layer-choice");
  room.hidden = view === "changes" || layers.length < 2 || (ofNetwork && !some);
  room.classList.toggle("several", some);
  const options = (given) => given.map((one) => h("option", { value: one.index }, ofNetwork ? apart(one.network.name) : one.title));
  const grouped = networks.some((one) => one.layers.length > 1);
  const select = document.getElementById("layer");
  if (ofNetwork || !some) select.replaceChildren(...options(ofNetwork ? networks.map(({ last }) => last) : layers));
  else if (!grouped) select.replaceChildren(...options(layers));
  else select.replaceChildren(...networks.map((one) => h("optgroup", { label: one.name || "(no name)" }, options(one.layers))));
  select.labels[0].textContent = !some ? "Layer" : ofNetwork || !grouped ? "Network" : "Network and layer";
  select.value = String((ofNetwork ? layer.network.last : layer).index);
}

/** Where the choice of another layer leads: to the same view of it, from a feature to all of them. */
function chosen(layer) {
  const [path, search = ""] = location.hash.split("?");
  if (path.startsWith("#/feature/")) return `#/features?layer=${layer.index}`;
  const asked = new URLSearchParams(search);
  asked.delete("layer");
  asked.delete("network");
  const ofNetwork = /^#\/(images?\b|labels)/.test(path);
  const own = ofNetwork ? ["network", layer.network.index] : ["layer", layer.index];
  return `${path || "#/"}?${new URLSearchParams([own, ...asked])}`;
}

function start() {
  const select = document.getElementById("layer");
  select.addEventListener("change", () => {
    location.hash = chosen(layers[Number(select.value)]);
  });
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
  for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", () => shown.redraw?.());
  addEventListener("beforeprint", () => document.querySelectorAll(".grid").forEach((one) => grids.get(one).unroll()));
  addEventListener("afterprint", () => document.querySelectorAll(".grid").forEach((one) => grids.get(one).rollUp()));
  startSearch();
  addEventListener("hashchange", show);
  addEventListener("popstate", show);
  show();
}

start();
