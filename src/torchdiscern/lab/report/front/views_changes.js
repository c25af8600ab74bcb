// What changed from the first network to the second: classes and images, then feature by feature.

const USUAL = 0.95;

const median = (ascending) => {
  const half = ascending.length / 2;
  return ascending.length % 2 ? ascending[Math.floor(half)] : (ascending[half - 1] + ascending[half]) / 2;
};

/** The pairs, and what two seeds of one network differ by; `bound` is what 95% of these do not pass. */
const changesOf = remembered(() => {
  const [first, second, distance, given] = ["first", "second", "distance", "usual"].map((name) => array(`changes.${name}`));
  const usual = given?.length ? given : null;
  const bound = usual ? usual[Math.ceil(USUAL * usual.length) - 1] : NaN;
  const [a, b] = [networks[0].last, networks[1].last];
  return { first, second, distance, usual, bound, a, b, pairs: range(distance.length) };
});

/** How many of ascending values are at least this large. */
function atLeast(ascending, value) {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] < value) low = middle + 1;
    else high = middle;
  }
  return ascending.length - low;
}

function changesView(asked) {
  const { first, second, distance, usual, bound, a, b, pairs } = changesOf(0);
  const owners = (k) => [a.owner(first[k]), b.owner(second[k])];
  return filtered({
    title: "What changed",
    label: "Pairs of features",
    path: "#/changes",
    name: "changes",
    columns: pairColumns(changesOf(0)),
    many: pairs.length,
    filter: (values) => {
      const [owner, kept] = [values.get("owner"), values.get("same")];
      const limit = (end) => (values.has(`distance-${end}`) ? Number(values.get(`distance-${end}`)) : NaN);
      const [least, most] = [limit("from"), limit("to")];
      return (k) =>
        (!owner || owners(k).includes(Number(owner))) &&
        (!kept || (owners(k)[0] === owners(k)[1]) === (kept === "yes")) &&
        !(distance[k] < least - 1e-12) &&
        !(distance[k] > most + 1e-12);
    },
    fields: (change) => [
      choice("owner", "owner of either", asked, classOptions(), change),
      choice("same", "owner of both", asked, [["", "any"], ["yes", "the same"], ["no", "another"]], change),
      bounds({ key: "distance", title: "distance" }, asked, change),
    ],
    asked,
    sort: "distance",
    down: true,
    open: (k) => to.feature(a, first[k]),
    one: "pair",
    intro: [bothDecide && [comparedPanel(), h("h2", { class: "apart" }, "Features")], changesHead(changesOf(0)), distancesPanel(changesOf(0)), h("h2", { class: "apart" }, "All pairs")],
  });
}

function changesHead({ distance, usual, first, second, a, b, pairs }) {
  const same = pairs.filter((k) => a.owner(first[k]) === b.owner(second[k])).length;
  const left = [a, b].map((layer) => layer.features - pairs.length);
  return [
    h(
      "div",
      { class: "prose" },
      h(
        "p",
        {},
        "Each feature of the first network, ",
        h("b", {}, namedLayer(a)),
        ", with its like in the second, ",
        h("b", {}, namedLayer(b)),
        ". They are matched one to one by their class distributions, so that the distances, total variation, sum to the least. At distance 0 two features fire for the same classes alike, at 1 for none in common.",
      ),
      left.some((many) => many > 0) && h("p", {}, `In no pair, such as dead and broken features: ${whole(left[0])} of ${plural(a.features, "feature")} of the first, ${whole(left[1])} of ${plural(b.features, "feature")} of the second.`),
    ),
    figures(
      [
        ["pairs", whole(pairs.length)],
        ["median distance", fixed(pairs.length ? median(distanceInOrder(distance)) : NaN)],
        usual && ["usual median", fixed(median(usual)), "between two seeds"],
        ["pairs with the same owner", percent(pairs.length ? same / pairs.length : NaN), `${whole(same)} of ${whole(pairs.length)}`],
      ],
      "figures large",
    ),
  ];
}

const distanceInOrder = (distance) => Float64Array.from(distance).sort();

function distancesPanel({ distance, usual, bound }) {
  const largest = Math.max(distance.reduce((top, one) => Math.max(top, one), 0), usual ? usual[usual.length - 1] : 0);
  const high = Math.max(0.05, Math.min(1, Math.ceil(20 * largest - 1e-9) / 20));
  const edges = Array.from({ length: BINS + 1 }, (_, i) => (i * high) / BINS);
  const shares = (values) => {
    const found = new Array(BINS).fill(0);
    for (const one of values) found[Math.max(0, Math.min(BINS - 1, Math.floor((one / high) * BINS)))] += 1 / values.length;
    return found;
  };
  const [counts, line] = [shares(distance), usual && shares(usual)];
  const columns = [
    { key: "from", title: "distance from", kind: "number", value: (i) => edges[i], text: (i) => fixed(edges[i]) },
    { key: "to", title: "to", kind: "number", value: (i) => edges[i + 1], text: (i) => fixed(edges[i + 1]) },
    columnOf.number("pairs", "share of the pairs", (i) => counts[i], percent),
    ...(usual ? [columnOf.number("usual", "of the usual ones", (i) => line[i], percent)] : []),
  ];
  const title = "How far apart the pairs are";
  const words = `Distances of the pairs, median ${fixed(median(distanceInOrder(distance)))}${usual ? `; the usual ones, median ${fixed(median(usual))}` : ""}.`;
  const marks = usual ? [{ at: bound, words: "95% of the usual ones" }] : [];
  return panel(
    title,
    { wide: true, tools: distance.length ? [csvButton("distances", "distribution of distances", () => csvLines(columns, range(BINS)))] : [] },
    usualWords({ distance, usual, bound }),
    distance.length
      ? [
          chart(words, (width) => histogram(width, { edges, counts, line, marks, x: "distance, total variation", y: "share of the pairs", showX: (value, digits) => value.toFixed(digits), showY: (value) => percent(value, 0) })),
          usual ? legend("these pairs", ["the usual ones: ", named(facts.changes.usual_name)]) : null,
          folded("The same numbers as a table", () => plainTable(title, columns, range(BINS))),
        ]
      : h("p", { class: "none" }, "There is no pair."),
  );
}

/** How the distances are to be judged. */
function usualWords({ distance, usual, bound }) {
  if (!usual) {
    return h("p", { class: "prose" }, "Nothing here shows what two seeds of the same network would differ by, so the distances alone do not say whether the change is more than chance.");
  }
  const far = distance.filter((one) => one > bound).length;
  return h(
    "p",
    { class: "prose" },
    h("b", {}, `${whole(far)} of ${plural(distance.length, "pair")}`),
    ` (${percent(far / distance.length)}) are farther apart than 95% of the usual ones, that is than ${fixed(bound)}; were the seed all that differs, about 5% would be.`,
  );
}

function pairColumns({ first, second, distance, usual, a, b }) {
  const titles = [a, b].map(({ network }) => network.name);
  const told = toldOfBoth();
  const of = (layer, features, n) => {
    const about = (word) => ({ title: h("span", {}, named(told[n]), ` ${word}`), heading: `${told[n]}: ${word}`, hint: `${word} in ${titles[n]}` });
    return [
      { key: `feature${n + 1}`, kind: n ? "text begins" : "text", width: n ? 118 : 104, value: (k) => features[k], cell: (k) => featureLink(layer, features[k]), ...about("feature") },
      { ...columnOf.name(`owner${n + 1}`, "", (k) => layer.owner(features[k])), value: (k) => (layer.owner(features[k]) < 0 ? NaN : classes[layer.owner(features[k])]), csv: (k) => className(layer.owner(features[k])), ...about("owner") },
      columnOf.number(`impurity${n + 1}`, "", (k) => layer.get("impurity")[features[k]], fixed, { first: "up", ...about("impurity") }),
    ];
  };
  const columns = [...of(a, first, 0), ...of(b, second, 1), columnOf.number("distance", "distance", (k) => distance[k], fixed, { hint: "total variation between the two class distributions" })];
  if (usual) columns.push(columnOf.number("usual", "usual ones as far", (k) => atLeast(usual, distance[k]) / usual.length, percent, { first: "up", hint: "share of the usual pairs that are at least as far apart" }));
  return columns;
}

/** A feature's like in the other network, for its own view; null where it has none. */
function likeOf(layer, feature) {
  if (!facts.changes) return null;
  const { first, second, distance, a, b } = changesOf(0);
  const [mine, theirs, other] = layer === a ? [first, second, b] : layer === b ? [second, first, a] : [];
  const k = mine ? mine.indexOf(feature) : -1;
  return k < 0 ? null : ["its like", featureLink(other, theirs[k]), ["in ", named(other.network.name), `, distance ${fixed(distance[k])}`]];
}
