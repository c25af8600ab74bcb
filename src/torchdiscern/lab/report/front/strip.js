// Classes against features as a strip: a column a feature, a row a class, the colour the share.

const GUTTER = 112;

/** Colours from none to the peak, of one hue. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const [none, full] = ["--ground", "--share"].map((name) => style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16)));
  return Array.from({ length: 256 }, (_, i) => none.map((from, k) => Math.round(from + ((full[k] - from) * i) / 255)));
}

/** The largest share that falls on each point of a raster. */
function raster(layer, order, across, down) {
  const P = layer.get("distribution");
  const found = new Float32Array(across * down);
  const columns = order.map((_, k) => Math.floor((k * across) / order.length));
  for (let c = 0; c < classes.length; c += 1) {
    const line = Math.floor((c * down) / classes.length) * across;
    const start = c * layer.features;
    for (let k = 0; k < order.length; k += 1) {
      const value = P[start + order[k]];
      if (value > found[line + columns[k]]) found[line + columns[k]] = value;
    }
  }
  return found;
}

/**
 * The scale of colours: the logarithm of the share, from `least` on, which is what each class with images has of a feature
 * that fires alike for all, or lower where the peak is near. Last layers of all networks have one scale.
 */
const scaleOf = remembered((layer) => {
  const lasts = networks.map(({ last }) => last);
  let peak = 0;
  for (const one of lasts.includes(layer) ? lasts : [layer]) for (const value of one.get("share")) peak = Math.max(peak, value || 0);
  peak ||= 1;
  const least = Math.min(1 / filled(), peak / 4);
  return {
    least,
    peak,
    even: least === 1 / filled(),
    part: (value) => (value > least ? Math.min(1, Math.log(value / least) / Math.log(peak / least)) : 0),
    value: (part) => least * (peak / least) ** part,
  };
});

function drawStrip(canvas, layer, order, width) {
  const sharp = Math.min(2, devicePixelRatio || 1);
  const gutter = width < 500 ? 72 : GUTTER;
  const height = Math.max(120, Math.min(560, classes.length * (classes.length > 40 ? 5 : 14)));
  const [across, down] = [Math.min(order.length, Math.floor((width - gutter) * sharp)), Math.min(classes.length, Math.floor(height * sharp))];
  canvas.width = Math.floor(width * sharp);
  canvas.height = Math.floor(height * sharp);
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  const shares = raster(layer, order, across, down);
  const [colours, scale] = [palette(), scaleOf(layer)];
  const pixels = new ImageData(across, down);
  shares.forEach((value, i) => {
    const [red, green, blue] = colours[Math.round(255 * scale.part(value))];
    pixels.data.set([red, green, blue, 255], 4 * i);
  });
  const small = document.createElement("canvas");
  [small.width, small.height] = [across, down];
  small.getContext("2d").putImageData(pixels, 0, 0);
  pen.scale(sharp, sharp);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, gutter, 0, width - gutter, height);
  pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--quiet");
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  const every = Math.ceil(13 / (height / classes.length));
  for (let c = 0; c < classes.length; c += every) pen.fillText(clipped(pen, classes[c], gutter - 10), gutter - 6, Math.max(6, Math.min(height - 6, ((c + 0.5) * height) / classes.length)));
  return gutter;
}

function clipped(pen, text, room) {
  let shown = text.slice(0, 60);
  if (shown === text && pen.measureText(shown).width <= room) return shown;
  while (shown && pen.measureText(`${shown}…`).width > room) shown = shown.slice(0, -1);
  return `${shown}…`;
}

/** The strip with its legend; a pointer reads it, and opens the feature that it is on. */
function strip(layer) {
  const order = byOwner(layer);
  const said = h("p", { class: "reading" }, "A pointer on the strip reads its numbers; a press opens the feature.");
  const canvas = h("canvas", { class: "strip", role: "img", "aria-label": inWords(layer, order) });
  let gutter = GUTTER;
  const draw = () => {
    if (canvas.clientWidth && order.length) gutter = drawStrip(canvas, layer, order, canvas.clientWidth);
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const k = Math.floor(((event.clientX - box.left - gutter) / (box.width - gutter)) * order.length);
    const c = Math.floor(((event.clientY - box.top) / box.height) * classes.length);
    return k >= 0 && k < order.length && c >= 0 && c < classes.length ? [order[k], c] : null;
  };
  canvas.addEventListener("pointermove", (event) => {
    const found = at(event);
    if (!found) return;
    const [j, c] = found;
    said.replaceChildren(`feature ${j}: ${shareOf(layer.share(c, j))} `, named(classes[c]), layer.owner(j) < 0 ? "; dead" : "; owner ", layer.owner(j) < 0 ? "" : named(classes[layer.owner(j)]));
  });
  canvas.addEventListener("click", (event) => {
    const found = at(event);
    if (found) location.hash = to.feature(layer, found[0]);
  });
  let width = 0;
  new ResizeObserver(() => {
    if (canvas.clientWidth === width) return;
    width = canvas.clientWidth;
    draw();
  }).observe(canvas);
  shown.redraw = draw;
  const { value } = scaleOf(layer);
  const marks = [0, 0.25, 0.5, 0.75, 1].map((part) => h("span", {}, `${part ? "" : "≤ "}${percent(value(part))}`));
  const scale = h("div", { class: "scale" }, h("span", { class: "unseen" }, "Scale of the strip: "), h("i", { "aria-hidden": "true" }), h("div", {}, marks));
  return h("div", {}, canvas, h("div", { class: "under" }, said, scale));
}

function inWords(layer, order) {
  const owned = ownedIn(layer);
  const owners = owned.reduce((sum, many) => sum + (many > 0), 0);
  return `Shares of ${classes.length} classes in ${order.length} features ordered by owner; ${owners} classes own a feature. The same numbers are in the table below.`;
}

/** The pairs of class and feature that a strip shows, but for very small shares, as a grid. */
function stripNumbers(layer) {
  const order = byOwner(layer);
  const [P, low, high] = ["distribution", "low", "high"].map((name) => layer.get(name));
  const pairs = [];
  const twice = 2 / filled(); // with many classes an even share is far below 1%
  let least = 0.01;
  for (const floor of [Math.min(0.01, twice), 0.01, 0.05, 0.2]) {
    least = floor;
    pairs.length = 0;
    for (const j of order) for (let c = 0; c < classes.length; c += 1) if (P[c * layer.features + j] >= floor) pairs.push(c * layer.features + j);
    if (pairs.length < 200000) break;
  }
  const feature = (pair) => pair % layer.features;
  const label = (pair) => Math.floor(pair / layer.features);
  const columns = [
    { key: "feature", title: "feature", width: 84, value: feature, cell: (pair) => featureLink(layer, feature(pair)) },
    columnOf.name("class", "class", label),
    columnOf.number("share", "share", (pair) => P[pair], shareOf),
    columnOf.number("low", "from", (pair) => low[pair], shareOf),
    columnOf.number("high", "to", (pair) => high[pair], shareOf),
  ];
  const grid = new Grid({ label: "Shares of classes in features", columns, tall: 12, open: (pair) => to.feature(layer, feature(pair)) });
  grid.show(pairs);
  return h("div", {}, h("p", { class: "note" }, `Shares of at least ${percent(least, least < 0.01 ? 2 : 0)}, ${plural(pairs.length, "row")}; the CSV has all.`), grid.scroller);
}

/** All shares as a table of features by classes. */
function stripLines(layer) {
  const rows = Array.from(range(layer.features), (j) => [j, ...classes.map((_, c) => layer.share(c, j))]);
  return [["feature", ...classes], ...rows];
}
