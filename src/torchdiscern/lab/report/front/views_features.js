// All features of a layer in one table, to sort and to filter.

const FILTERS = [
  { key: "share", title: "share, %", scale: 100 },
  { key: "impurity", title: "impurity", scale: 1 },
  { key: "effective", title: "effective classes", scale: 1 },
  { key: "firing", title: "firing rate, %", scale: 100 },
  { key: "removal", title: "if removed, points", scale: 100 },
];

// what is said of broken features, everywhere alike
const BROKEN = "gave NaN or infinity on some images";
const LEFT_OUT = "left out of every number of the layer";
const STATES = `live: fires on some image; dead: zero on every image; broken: ${BROKEN}, ${LEFT_OUT}`;

/** Numbers of a feature that a dead one does not have. */
const unlessDead = (layer, name) => (j) => (layer.isDead(j) ? NaN : layer.get(name)[j]);

function featureColumns(layer) {
  const raw = (name) => ({ csv: (j) => layer.get(name)[j] });
  const columns = [
    columnOf.feature(layer),
    columnOf.owner(layer),
    columnOf.number("share", "share", unlessDead(layer, "share"), shareOf, { hint: "the owner’s share of the feature", ...raw("share") }),
    columnOf.number("impurity", "impurity", unlessDead(layer, "impurity"), fixed, { hint: "1 − ΣP²: 0 where the feature fires for one class only", first: "up", ...raw("impurity") }),
    columnOf.number("effective", "effective classes", unlessDead(layer, "effective"), (value) => fixed(value, 2), { hint: "1/ΣP²: for how many classes alike it fires", first: "up", ...raw("effective") }),
    columnOf.number("firing", "firing rate", (j) => layer.get("firing")[j], percent, { hint: "share of the images on which it fires" }),
    columnOf.number("mean", "mean activation", (j) => layer.get("mean")[j], short),
    { key: "state", title: "state", hint: STATES, width: 84, value: (j) => layer.state(j), text: (j) => layer.state(j) },
  ];
  if (layer.get("removal")) columns.splice(7, 0, columnOf.number("removal", "if removed", (j) => layer.get("removal")[j], points, { hint: "change of accuracy in percentage points when the feature is set to zero", first: "up" }));
  return columns;
}

/** What the address asks for: filters by name. */
function featureFilter(layer, asked) {
  const tests = [];
  if (asked.has("owner")) tests.push((j) => layer.owner(j) === Number(asked.get("owner")));
  if (asked.has("state")) tests.push((j) => layer.state(j) === asked.get("state"));
  for (const { key, scale } of FILTERS) {
    const values = layer.get(key);
    const value = key === "firing" || key === "removal" ? (j) => values[j] : unlessDead(layer, key);
    const bound = (end) => (asked.has(key + end) && asked.get(key + end) !== "" ? Number(asked.get(key + end)) / scale : NaN);
    const [least, most] = [bound("-from"), bound("-to")];
    if (values && Number.isFinite(least)) tests.push((j) => value(j) >= least - 1e-12);
    if (values && Number.isFinite(most)) tests.push((j) => value(j) <= most + 1e-12);
  }
  return (j) => tests.every((test) => test(j));
}

/** A choice out of several; the first stands for all. */
function choice(name, title, asked, options, change, hint = null) {
  const select = h("select", { name, on: { change } }, options.map(([value, text]) => h("option", { value, selected: value === (asked.get(name) ?? "") }, text)));
  return h("label", { class: "field", title: hint }, h("span", {}, title), select);
}

/** From and to, as numbers. */
function bounds({ key, title }, asked, change) {
  const field = (end, word) => h("input", { type: "number", step: "any", name: key + end, value: asked.get(key + end), placeholder: word, "aria-label": `${title}, ${word}`, on: { input: change } });
  return h("div", { class: "field", role: "group", "aria-label": title }, h("span", {}, title), h("span", { class: "pair" }, field("-from", "from"), field("-to", "to")));
}

const classOptions = () => [["", "any"], ...classes.map((name, c) => [String(c), name.length > 60 ? `${name.slice(0, 60)}…` : name || "(no name)"])];

/**
 * A grid under its filters. What is sorted and filtered stands in the address; a sort makes a step to go back to,
 * a filter does not.
 */
function filtered({ title, label = title, path, name, columns, many, filter, fields, asked, sort, down, open, rowHeight, one, more, intro }) {
  const said = h("p", { class: "count", role: "status" });
  const form = h("form", { class: "filters", on: { submit: (event) => event.preventDefault() } });
  const grid = new Grid({
    label,
    columns,
    rowHeight,
    sort: columns.some(({ key, value }) => value && key === asked.get("sort")) ? asked.get("sort") : sort,
    down: asked.has("sort") ? asked.get("down") === "1" : down,
    open,
    tall: rowHeight > 40 ? 11 : 17,
    sorted: () => remember(true),
  });
  const values = () => Array.from(new FormData(form)).filter(([, value]) => value !== "");
  function remember(step) {
    const params = new URLSearchParams([...kept(asked), ...values(), ...(grid.sort ? [["sort", grid.sort], ["down", grid.down ? "1" : "0"]] : [])]);
    goQuietly(`${path}?${params}`, step);
  }
  function apply() {
    const test = filter(new URLSearchParams(values()));
    const rows = range(many).filter(test);
    grid.show(rows);
    said.textContent = rows.length === many ? plural(many, one, more) : `${whole(rows.length)} of ${plural(many, one, more)}`;
  }
  const change = () => {
    apply();
    remember(false);
  };
  const clear = h("button", { type: "button", class: "quiet", on: { click: () => {
    for (const field of form.elements) if ("value" in field && field.type !== "button") field.value = "";
    change();
  } } }, "clear filters");
  form.append(...fields(change).filter(Boolean), clear);
  const active = values().length > 0;
  const folder = h("details", { class: "filtering" }, h("summary", {}, "Filters"), form);
  folder.open = active || innerWidth > 800;
  apply();
  return [
    h("h1", { tabindex: -1 }, title),
    intro,
    folder,
    h("div", { class: "head" }, said, h("div", { class: "tools" }, csvButton(name, label, () => csvLines(columns, grid.rows)))),
    grid.scroller,
    h("p", { class: "note keys" }, "Arrow keys walk the table, Enter opens a row or sorts by a heading. The CSV holds the rows as they are filtered and sorted."),
  ];
}

function featuresView(layer, asked) {
  return filtered({
    title: layers.length > 1 ? `Features of ${layer.title}` : "Features",
    path: "#/features",
    name: `features-${layer.title}`,
    columns: featureColumns(layer),
    many: layer.features,
    filter: (values) => featureFilter(layer, values),
    fields: (change) => [
      choice("owner", "owner", asked, classOptions(), change),
      choice("state", "state", asked, [["", "any"], ["live", "live"], ["dead", "dead"], ["broken", "broken"]], change, STATES),
      ...FILTERS.filter(({ key }) => layer.get(key)).map((field) => bounds(field, asked, change)),
    ],
    asked,
    sort: "impurity",
    down: false,
    open: (j) => to.feature(layer, j),
    one: "feature",
    intro: h("p", { class: "note" }, "Impurity is 0 where a feature fires for one class only; the effective number of classes counts for how many alike it fires. A dead feature is zero on every image. A broken one " + `${BROKEN} and is ${LEFT_OUT}.`),
  });
}
