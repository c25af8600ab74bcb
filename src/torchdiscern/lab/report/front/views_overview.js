// The first view: the network as a whole.

const BINS = 30;

function overview(layer) {
  const { decisions } = layer.network;
  const count = (name) => layer.get(name).reduce((sum, one) => sum + one, 0);
  const [dead, broken] = [count("dead"), count("broken")];
  const some = networks.length > 1;
  const present = filled();
  return [
    h("h1", { tabindex: -1 }, "What each feature tells apart", some && h("span", {}, " in ", namedLayer(layer))),
    figures(
      [
        ["features", whole(layer.features), `of ${layer.name}`],
        ["images", whole(files.length), `of ${plural(present, "class", "classes")}`],
        ["mean impurity", fixed(meanImpurity(layer)), "Gini; a dead feature counts as 1"],
        ["classes that own a feature", `${whole(ownersIn(layer))} of ${whole(present)}`],
        ["dead features", whole(dead), "zero on every image"],
        broken > 0 && ["broken features", whole(broken), `${BROKEN}; ${LEFT_OUT}`],
        ["coverage divergence", fixed(layer.divergence), "nats"],
        decisions && ["accuracy", percent(decisions.accuracy ?? NaN), `classifier: ${decisions.source}`],
      ],
      "figures large",
    ),
    present < classes.length && h("p", { class: "notice" }, `${whole(present)} of ${plural(classes.length, "class", "classes")} ${present === 1 ? "has" : "have"} images; counts of classes here mean these.`),
    facts.tables.map(givenTable),
    facts.notes.length ? h("div", { class: "notice" }, facts.notes.map((note) => h("p", {}, named(note)))) : null,
    some && comparisonPanel(),
    h(
      "div",
      { class: "prose" },
      h("p", {}, "P, the ", h("b", {}, "class distribution"), " of a feature, says which classes make it fire: each class’s mean activation as a share of the sum over all classes. The class with the largest share is the feature’s ", h("b", {}, "owner"), "."),
      h("p", {}, h("b", {}, "Impurity"), ` is 1 − ΣP²: 0 where a feature fires for one class only, ${fixed(1 - 1 / present, 2)} where it fires alike for ${present === 1 ? "the one there is" : `all ${whole(present)}`}. The `, h("b", {}, "effective number of classes"), ", 1/ΣP², counts for how many classes alike a feature fires: 1 for a single one."),
    ),
    stripPanel(layer),
    h("div", { class: "two" }, impurityPanel(layer), coveragePanel(layer)),
    limitsPanel(),
    panel("About this report", {}, figures(facts.facts.map(([name, value]) => [named(name), named(value)]), "facts")),
  ];
}

/** Features with a distribution to speak of. */
const drawable = remembered((layer) => byOwner(layer).filter((j) => !layer.isDead(j) && Number.isFinite(layer.get("impurity")[j])));

/** How many classes own a feature. */
const ownersIn = (layer) => ownedIn(layer).filter((many) => many > 0).length;

/** As the metric has it: a dead feature counts as 1. */
function meanImpurity(layer) {
  const values = Array.from(byOwner(layer), (j) => layer.get("impurity")[j]).filter(Number.isFinite);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Names the features that are on no chart. */
function leftOut(layer) {
  const broken = range(layer.features).filter((j) => layer.isBroken(j));
  if (!broken.length) return null;
  const [who, are] = broken.length === 1 ? ["Feature", "is"] : ["Features", "are"];
  return h("p", { class: "note" }, `${who} `, featureLinks(layer, broken.slice(0, 12)), broken.length > 12 ? ` and ${whole(broken.length - 12)} more` : "", ` ${BROKEN}: not drawn, and ${LEFT_OUT}.`);
}

function stripWords(layer) {
  const { least, even } = scaleOf(layer);
  const none = `no more than ${percent(least)}${even ? `, what each would have if the feature fired alike for all ${whole(filled())}` : ""}`;
  const common = networks.length > 1 && layer === layer.network.last ? " All networks have the same scale." : "";
  return `A column is a feature, a row a class; the stronger its colour, the larger the class’s share of the feature. The scale is logarithmic: a class without colour has ${none}.${common} Features are ordered by owner, dead ones at the end.`;
}

function stripPanel(layer) {
  return panel(
    "Classes against features",
    {
      wide: true,
      note: stripWords(layer),
      tools: [csvButton("shares", "shares of all classes in all features", () => stripLines(layer))],
    },
    byOwner(layer).length ? strip(layer) : h("p", { class: "none" }, "No feature can be drawn."),
    leftOut(layer),
    folded("The same numbers as a table", () => later(() => stripNumbers(layer))),
  );
}

function impurityPanel(layer) {
  const live = drawable(layer);
  const { low, edges, counts: [counts] } = impurityBins([layer]);
  const sorted = Array.from(live, (j) => layer.get("impurity")[j]).sort((a, b) => a - b);
  const quantile = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN;
  const words = `Impurity of ${plural(live.length, "live feature")}: median ${fixed(quantile(0.5))}, half of them between ${fixed(quantile(0.25))} and ${fixed(quantile(0.75))}.`;
  const columns = [
    { key: "from", title: "impurity from", kind: "number", value: (i) => edges[i], text: (i) => fixed(edges[i]) },
    { key: "to", title: "to", kind: "number", value: (i) => edges[i + 1], text: (i) => fixed(edges[i + 1]) },
    { key: "features", title: "features", kind: "number", value: (i) => counts[i], text: (i) => whole(counts[i]) },
  ];
  return panel(
    "Impurity of the features",
    { note: words, tools: [csvButton("impurities", "distribution of impurities", () => csvLines(columns, range(BINS)))] },
    chart(words, (width) => histogram(width, { edges, counts, x: low ? `impurity, from ${fixed(low, 2)} on` : "impurity", y: "features", showX: (value, digits) => value.toFixed(digits), showY: whole })),
    folded("The same numbers as a table", () => plainTable("Distribution of impurities", columns, range(BINS))),
  );
}

function coveragePanel(layer) {
  const [coverage, prior] = [layer.get("coverage"), layer.get("prior")];
  const order = descending(coverage);
  const seen = order.filter((c) => imagesOf(0)[c] > 0); // the others are covered by nothing
  const few = Math.min(3, Math.floor(seen.length / 2));
  const list = (some) => Array.from(some).flatMap((c, i) => [i ? ", " : "", classLink(c), ` ${percent(coverage[c], 2)}`]);
  const columns = classColumns(layer).filter(({ key }) => ["class", "coverage", "prior", "owned"].includes(key));
  const words = `Coverage of ${plural(classes.length, "class", "classes")}, the largest first, against the prior; coverage divergence ${fixed(layer.divergence)} nats.`;
  return panel(
    "Coverage of the classes",
    {
      note: "Coverage is the share of all features’ distributions that falls on a class; the prior is the class’s share of the images. The coverage divergence is 0 where both agree.",
      tools: [csvButton("coverage", "coverage of the classes", () => csvLines(columns, order))],
    },
    chart(words, (width) => ranked(width, { values: coverage, expected: prior, order, x: "classes, the most covered first", y: "share", showY: (value) => percent(value, value && value < 0.01 ? 1 : 0) })),
    legend("coverage", "prior"),
    few ? h("p", { class: "note" }, "Most covered: ", list(seen.slice(0, few)), ". Least: ", list(seen.slice(-few)), ".") : null,
    folded("The same numbers as a table", () => plainTable("Coverage of the classes", columns, order)),
  );
}

function limitsPanel() {
  const limits = [
    "A feature that fires for few classes is easier to name. It is not yet a more useful one: networks can classify well with features that each fire for many classes, and pressing for selective ones made some classify worse (Leavitt and Morcos, 2020).",
    `All numbers speak of these ${whole(files.length)} images. Intervals say how shares would vary with other images of the same classes, not with another training run.`,
    "The images on which a feature fires most mislead when seen alone; look at the middling and the random ones beside them.",
    "A map shows where a feature is active, not what it stands for.",
    "The effect of removing a feature is that of removing it alone; what several do together can be more or less.",
  ];
  if (networks.length > 1) limits.push("One network of each kind is shown. Trained again from another seed each would come out otherwise: rely on a difference between two only where it holds over several seeds, all trained on the same budget.");
  return panel("What this cannot say", {}, h("ul", { class: "prose" }, limits.map((one) => h("li", {}, one))));
}
