// Several networks of one report, shown the same images, side by side.

const SMALL = 118;

/** Shares of the live features in bins that all the layers have in common. */
function impurityBins(some) {
  const top = Math.max(1 - 1 / filled(), 1e-9);
  let least = top;
  for (const layer of some) for (const j of drawable(layer)) least = Math.min(least, layer.get("impurity")[j]);
  const low = least < top / 2 ? 0 : Math.floor(20 * least) / 20; // with many classes all lie near the top
  const edges = Array.from({ length: BINS + 1 }, (_, i) => low + (i * (top - low)) / BINS);
  const counts = some.map((layer) => {
    const found = new Array(BINS).fill(0);
    for (const j of drawable(layer)) found[Math.max(0, Math.min(BINS - 1, Math.floor(((layer.get("impurity")[j] - low) / (top - low)) * BINS)))] += 1;
    return found;
  });
  return { low, edges, counts };
}

const networkLink = (network, href = to.overview(network.last)) =>
  h("a", { href, title: network.name, class: "name", "aria-current": network === shown.layer.network ? "true" : null }, named(network.name));

const networkColumn = { key: "network", title: "network", value: (one) => one.name, cell: (one) => networkLink(one), csv: (one) => one.name };

function comparisonColumns() {
  const columns = [
    networkColumn,
    { key: "layer", title: "layer", value: (one) => one.last.name, text: (one) => named(one.last.name), csv: (one) => one.last.name },
    columnOf.number("features", "features", (one) => one.last.features, whole),
    columnOf.number("impurity", "mean impurity", (one) => meanImpurity(one.last), fixed),
    columnOf.number("divergence", "coverage divergence", (one) => one.last.divergence, fixed),
    columnOf.number("owners", "classes that own a feature", (one) => ownersIn(one.last), whole),
    columnOf.number("dead", "dead features", (one) => one.last.get("dead").reduce((sum, dead) => sum + dead, 0), whole),
  ];
  if (networks.some(({ decisions }) => decisions)) columns.push(columnOf.number("accuracy", "accuracy", (one) => one.decisions?.accuracy ?? NaN, percent));
  return columns;
}

/** What the networks' last layers have in common, and what not; all charts of a kind have the same axes. */
function comparisonPanel() {
  const lasts = networks.map(({ last }) => last);
  const { low, edges, counts } = impurityBins(lasts);
  const shares = counts.map((found, i) => found.map((many) => many / Math.max(1, drawable(lasts[i]).length)));
  const order = descending(lasts[0].get("coverage"));
  const [most, widest] = [Math.max(...shares.flat()), lasts.reduce((top, layer) => Math.max(top, ...layer.get("coverage"), ...layer.get("prior")), 0)];
  const columns = comparisonColumns();
  const first = networks[0];
  const impurity = (i) => {
    const mean = meanImpurity(lasts[i]);
    const draw = (width) =>
      histogram(width, {
        edges,
        counts: shares[i],
        line: i ? shares[0] : null,
        top: most,
        height: SMALL,
        marks: Number.isFinite(mean) ? [{ at: mean, words: `mean ${fixed(mean)}` }] : [],
        x: low ? `impurity, from ${fixed(low, 2)} on` : "impurity",
        y: "share of features",
        showX: (value, digits) => value.toFixed(digits),
        showY: (value) => percent(value, 0),
      });
    return chart(`Impurity of the features of ${networks[i].name}: mean ${fixed(mean)}.`, draw, SMALL);
  };
  const coverage = (i) => {
    const [values, expected] = [lasts[i].get("coverage"), lasts[i].get("prior")];
    const draw = (width) => ranked(width, { values, expected, order, top: widest, height: SMALL, x: "classes, by coverage in the first network", y: "share", showY: (value) => percent(value, value && value < 0.01 ? 1 : 0) });
    return chart(`Coverage of the classes by ${networks[i].name}: coverage divergence ${fixed(lasts[i].divergence)} nats.`, draw, SMALL);
  };
  const multiple = (network, i) =>
    h(
      "section",
      { class: "multiple", "aria-label": `Charts of ${network.name || "(no name)"}` },
      h("div", { class: "who" }, h("h3", {}, networkLink(network)), figures([["mean impurity", fixed(meanImpurity(network.last))], ["coverage divergence", fixed(network.last.divergence), "nats"]], "figures of-two")),
      impurity(i),
      coverage(i),
    );
  return panel(
    "The networks side by side",
    {
      wide: true,
      note: "Their last layers, on the same images. A small difference may be one of seeds; several seeds of each network say more than one.",
      tools: [csvButton("networks", "the networks side by side", () => csvLines(columns, networks))],
    },
    plainTable("The networks side by side", columns, networks),
    h(
      "div",
      { class: "multiples" },
      h(
        "div",
        { class: "multiple titles" },
        h("span", {}),
        h("div", {}, h("b", {}, "Impurity"), legend("share of the network’s live features", ["those of ", named(first.name)])),
        h("div", {}, h("b", {}, "Coverage of the classes"), legend("coverage", "prior")),
      ),
      networks.map(multiple),
    ),
    folded("The impurities as a table", () => binsTable(edges, counts)),
    folded("The coverages as a table", () => coveragesTable(order)),
  );
}

function withCsv(name, title, columns, rows) {
  return h("div", {}, h("div", { class: "tools end" }, csvButton(name, title, () => csvLines(columns, rows))), plainTable(title, columns, rows));
}

/** A column of numbers for each network. */
const eachNetwork = (value, show) => networks.map((network, i) => columnOf.number(`network${i}`, h("span", { class: "name", title: network.name }, named(network.name)), (row) => value(i, row), show, { heading: network.name }));

function binsTable(edges, counts) {
  const columns = [
    { key: "from", title: "impurity from", kind: "number", value: (k) => edges[k], text: (k) => fixed(edges[k]) },
    { key: "to", title: "to", kind: "number", value: (k) => edges[k + 1], text: (k) => fixed(edges[k + 1]) },
    ...eachNetwork((i, k) => counts[i][k], whole),
  ];
  return withCsv("impurities-of-networks", "Features of each network by impurity", columns, range(BINS));
}

function coveragesTable(order) {
  const columns = [
    columnOf.name("class", "class", (c) => c),
    columnOf.number("prior", "prior", (c) => networks[0].last.get("prior")[c], (share) => percent(share, 2)),
    ...eachNetwork((i, c) => networks[i].last.get("coverage")[c], (share) => percent(share, 2)),
  ];
  return withCsv("coverage-of-networks", "Coverage of the classes by each network", columns, order);
}

/** What every network makes of one image. */
function predictionsPanel(place) {
  const of = (one, name) => (one.decisions ? one.decided(name)[place] : NaN);
  const predicted = (one) => (one.decisions ? of(one, "predicted") : -1);
  const columns = [
    { ...networkColumn, cell: (one) => networkLink(one, to.image(place, one)) },
    columnOf.name("prediction", "prediction", predicted),
    ...(networks.some((one) => one.hasProbabilities) ? [columnOf.number("probability", "probability", (one) => (one.hasProbabilities ? of(one, "probability") : NaN), percent)] : []),
    { key: "right", title: "right", value: (one) => (one.decisions ? rightOrWrong(one, place) : ""), text: (one) => (one.decisions ? rightOrWrong(one, place) : NOTHING) },
  ];
  return tablePanel("What each network predicts", { name: `image-${place}-networks`, columns, rows: networks });
}

/** A table that was made elsewhere; on a phone each row becomes a block, its cells named by their columns. */
function givenTable({ title, columns, rows, sentences }) {
  const cell = (text, i) =>
    i === 0 ? h("th", { scope: "row", role: "rowheader" }, named(text)) : h("td", { role: "cell", "data-label": columns[i] }, h("span", {}, text === "" ? NOTHING : named(text)));
  const heads = columns.map((name) => h("th", { scope: "col", role: "columnheader" }, named(name)));
  const numeric = columns.map((_, i) => i > 0 && rows.every((row) => /^$|^[^\p{L}]*\d[^\p{L}]*(\p{L}{1,3}\b[^\p{L}]*)*$/u.test(row[i])));
  const table = h(
    "table",
    { class: "given", role: "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
    h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, row.map(cell)))),
  );
  for (const line of table.querySelectorAll("tr")) numeric.forEach((is, i) => line.children[i]?.classList.toggle("number", is));
  return panel(
    named(title),
    { wide: true, tools: [csvButton(title, title, () => [columns, ...rows])] },
    rows.length ? h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": title }, table) : h("p", { class: "none" }, "None."),
    sentences.length ? h("ul", { class: "prose" }, sentences.map((one) => h("li", {}, named(one)))) : null,
  );
}
