// One feature: for which classes it fires, how much, and on which images.

const NAMED = 12;
// as `inspecting.seeing` has it: of more images than these, so many are drawn for all but the top ones
const POOL = 512;

function featureView(layer, feature) {
  const get = (name) => layer.get(name)[feature];
  const owner = layer.owner(feature);
  const [dead, broken] = [layer.isDead(feature), layer.isBroken(feature)];
  const pair = owner < 0 ? null : owner * layer.features + feature;
  const step = (j, text) => (j < 0 || j >= layer.features ? null : link(to.feature(layer, j), text));
  const entries = [
    ["owner", classLink(owner)],
    ["owner’s share", dead ? NOTHING : shareOf(get("share")), pair === null ? null : `${shareOf(layer.get("low")[pair])} to ${shareOf(layer.get("high")[pair])}`],
    ["impurity", dead ? NOTHING : fixed(get("impurity")), "1 − ΣP², Gini"],
    ["impurity, Renyi", dead ? NOTHING : fixed(get("impurity_renyi")), `−log ΣP² / log C, with C = ${whole(classes.length)} classes`],
    ["effective classes", dead ? NOTHING : fixed(get("effective"), 2), "1/ΣP²"],
    ["firing rate", percent(get("firing")), "of the images"],
    ["mean activation", short(get("mean"))],
    layer.get("removal") && ["if removed", points(get("removal")), "points of accuracy"],
    likeOf(layer, feature),
  ];
  const head = [
    h("p", { class: "way" }, link(to.features(layer), "Features of ", namedLayer(layer)), step(feature - 1, `← ${feature - 1}`), step(feature + 1, `${feature + 1} →`)),
    h("h1", { tabindex: -1 }, `Feature ${feature} `, h("span", {}, "of ", namedLayer(layer))),
    figures(entries),
  ];
  if (broken) {
    return [...head, h("p", { class: "notice" }, `Feature ${feature} is broken: it ${BROKEN}. It has no owner, is not drawn, and is ${LEFT_OUT}.`)];
  }
  if (dead) return [...head, h("p", { class: "notice" }, `Feature ${feature} is dead: it is zero on every image, so it has no distribution, no owner and no images to show.`)];
  return [
    ...head,
    h("div", { class: "two" }, distributionPanel(layer, feature), h("div", {}, activationPanel(layer, feature), nearestPanel(layer, feature))),
    ...examplePanels(layer, feature),
  ];
}

function distributionPanel(layer, feature) {
  const [low, high] = [layer.get("low"), layer.get("high")];
  const at = (c) => c * layer.features + feature;
  const share = (c) => layer.share(c, feature);
  const order = descending(Float32Array.from(classes, (_, c) => share(c)));
  const shown = order.slice(0, NAMED);
  const peak = Math.max(...Array.from(shown, (c) => Math.max(share(c), high[at(c)] || 0))) || 1;
  const columns = [
    columnOf.name("class", "class", (c) => c),
    { key: "bar", title: "share, with 95% interval", csv: false, kind: "wide", cell: (c) => bar(share(c), peak, low[at(c)], high[at(c)]) },
    columnOf.number("share", "share", share, shareOf),
    columnOf.number("low", "from", (c) => low[at(c)], shareOf),
    columnOf.number("high", "to", (c) => high[at(c)], shareOf),
  ];
  const rest = order.slice(NAMED).reduce((sum, c) => sum + share(c), 0);
  const others = classes.length - shown.length;
  const all = () => {
    const grid = new Grid({ label: `All classes in feature ${feature}`, columns: columns.filter(({ key }) => key !== "bar"), tall: 10, sort: "share", down: true });
    grid.show(range(classes.length));
    return grid.scroller;
  };
  return tablePanel("Class distribution", {
    name: `feature-${feature}-distribution`,
    note: "P: each class’s mean activation as a share of the sum over classes, with the 95% bootstrap interval over the images.",
    columns,
    rows: Array.from(shown),
    all: order,
    after: others > 0 ? [h("p", { class: "note" }, `The other ${plural(others, "class", "classes")} together: ${percent(rest)}.`), folded(`All ${whole(classes.length)} classes`, () => later(all))] : [],
  });
}

function activationPanel(layer, feature) {
  const [edges, own, rest] = ["histograms.edges", "histograms.owner", "histograms.rest"].map((name) => Array.from(layer.row(name, feature)));
  const owner = classes[layer.owner(feature)] ?? "";
  const columns = [
    { key: "from", title: "activation from", kind: "number", value: (i) => edges[i], text: (i) => short(edges[i]) },
    { key: "to", title: "to", kind: "number", value: (i) => edges[i + 1], text: (i) => short(edges[i + 1]) },
    columnOf.number("owner", "images of the owner", (i) => own[i], percent),
    columnOf.number("rest", "all other images", (i) => rest[i], percent),
  ];
  const words = `Activation of feature ${feature} on images of its owner ${owner} and on all other images.`;
  return panel(
    "Activation: owner against the rest",
    { tools: [csvButton(`feature-${feature}-activations`, "histogram of activations", () => csvLines(columns, range(own.length)))] },
    chart(words, (width) => histogram(width, { edges, counts: own, line: rest, x: "activation", y: "share of images", showX: (value, digits) => value.toFixed(digits), showY: (value) => percent(value, 0) })),
    legend("share of the owner’s images", "share of all other images"),
    folded("The same numbers as a table", () => plainTable("Histogram of activations", columns, range(own.length))),
  );
}

function nearestPanel(layer, feature) {
  const [near, alike] = [layer.row("nearest", feature), layer.row("likeness", feature)];
  const rows = range(near.length).filter((i) => near[i] >= 0);
  const of = (column) => ({ ...column, value: (i) => column.value(near[i]), cell: (i) => column.cell?.(near[i]) ?? column.text(near[i]), csv: (i) => (column.csv ?? column.value)(near[i]) });
  return tablePanel("Nearest features", {
    name: `feature-${feature}-nearest`,
    note: "Those whose activations go most alike over the images.",
    columns: [of(columnOf.feature(layer)), columnOf.number("likeness", "correlation", (i) => alike[i], (value) => fixed(value, 2)), of(columnOf.owner(layer)), of(columnOf.number("impurity", "impurity", unlessDead(layer, "impurity"), fixed))],
    rows,
    none: "There is none.",
  });
}

function examplePanels(layer, feature) {
  const drawn = files.length > POOL ? `of ${whole(POOL)} images drawn at random: ` : "";
  const kinds = [
    ["top", "Top images", "those on which it fires most, the strongest first"],
    ["middling", "Middling images", `${drawn}around the median of those on which it fires`],
    ["random", "Random images", `${drawn}any, whether it fires or not`],
  ];
  const mapped = kinds.some(([kind]) => layer.get(`${kind}.maps`));
  const panels = kinds.map(([kind, title, about]) => {
    const [rows, activations, maps] = [layer.row(`${kind}.rows`, feature), layer.row(`${kind}.activations`, feature), layer.get(`${kind}.maps`)];
    const shown = range(rows.length).filter((i) => rows[i] >= 0);
    const [, many, grid] = layer.shape(`${kind}.maps`) ?? [];
    const map = (i) => (maps ? maps.subarray((feature * many + shown[i]) * grid * grid, (feature * many + shown[i] + 1) * grid * grid) : null);
    const columns = [
      { key: "file", title: "file", value: (i) => files[rows[i]] },
      { key: "class", title: "class", value: (i) => classes[labels[rows[i]]] },
      { key: "activation", title: "activation", value: (i) => activations[i] },
    ];
    const below = (place, i) => [h("span", { class: "name" }, named(classes[labels[place]])), h("span", { class: "number" }, short(activations[shown[i]]))];
    return panel(
      title,
      { level: "h3", note: about, tools: shown.length ? [csvButton(`feature-${feature}-${kind}`, title, () => csvLines(columns, shown))] : [] },
      shown.length ? gallery(shown.map((i) => rows[i]), { label: title, about: below, map }) : h("p", { class: "none" }, "None."),
    );
  });
  const bar = h("div", { class: "head" }, h("h2", {}, "Images"), mapped ? overlaySwitch() : null);
  return [h("section", { class: "examples", "aria-label": "Images" }, bar, panels)];
}
