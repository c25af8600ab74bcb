// Tables: small ones as they are, large ones as a grid; both can be had as CSV.

/** A bar for a share in [0, 1] of `peak`, with its interval where there is one; the number stands beside it. */
function bar(value, peak, low = NaN, high = NaN) {
  const part = (x) => `${Math.max(0, Math.min(100, (100 * x) / peak)) || 0}%`;
  const whisker = Number.isFinite(low) && Number.isFinite(high);
  return h(
    "span",
    { class: "bar", "aria-hidden": "true" },
    h("i", { style: { width: part(value) } }),
    whisker && h("b", { style: { left: part(low), width: part(high - low) } }),
  );
}

/** A bar from the middle: to the right what speaks for, to the left what speaks against. */
function signedBar(value, peak) {
  const length = `${Math.min(50, (50 * Math.abs(value)) / peak) || 0}%`;
  const side = value < 0 ? { right: "50%", width: length } : { left: "50%", width: length };
  return h("span", { class: "bar signed", "aria-hidden": "true" }, h("i", { class: value < 0 ? "against" : "for", style: side }));
}

/** All rows at once; columns as a grid's. */
function plainTable(label, columns, rows) {
  const cell = (column, row, i) => {
    const content = column.cell ? column.cell(row) : column.text(row);
    return h(i === 0 ? "th" : "td", i === 0 ? { scope: "row", class: column.kind ?? "text" } : { class: column.kind ?? "text" }, content);
  };
  const heads = columns.map((column) => h("th", { scope: "col", class: column.kind ?? "text", title: column.hint }, column.title));
  return h(
    "div",
    { class: "scroll", role: "region", tabindex: 0, "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, Array.from(rows, (row) => h("tr", {}, columns.map((column, i) => cell(column, row, i)))))),
  );
}

/** A panel with a small table in it; a sentence where there is no row. */
function tablePanel(title, { name, columns, rows, all = rows, none = "None.", note = null, level = "h2", before = [], after = [], wide = false }) {
  const tools = all.length ? [csvButton(name, title, () => csvLines(columns, all))] : [];
  const content = rows.length ? plainTable(title, columns, rows) : h("p", { class: "none" }, none);
  return panel(title, { tools, note, level, wide }, before, content, after);
}

const link = (href, ...content) => h("a", { href }, ...content);
const featureLink = (layer, feature) => link(to.feature(layer, feature), `${feature}`);
const classLink = (label) => (label < 0 ? NOTHING : h("a", { href: to.class(label), title: classes[label], class: "name" }, named(classes[label])));
const imageLink = (place) => h("a", { href: to.image(place), title: files[place], class: "name" }, named(files[place]));
const className = (label) => (label < 0 ? "" : classes[label]);

/** Links to features, side by side. */
function featureLinks(layer, features) {
  const found = Array.from(features).filter((j) => j >= 0);
  if (!found.length) return NOTHING;
  return h("span", { class: "several" }, found.flatMap((j, i) => [i ? " " : null, featureLink(layer, j)]));
}

/** Columns that many tables have in common. */
const columnOf = {
  feature: (layer) => ({ key: "feature", title: "feature", width: 84, value: (j) => j, cell: (j) => featureLink(layer, j) }),
  owner: (layer) => ({
    key: "owner",
    title: "owner",
    hint: "the class with the largest share of the feature",
    width: 170,
    grow: 3,
    value: (j) => (layer.owner(j) < 0 ? NaN : classes[layer.owner(j)].toLowerCase()),
    cell: (j) => classLink(layer.owner(j)),
    csv: (j) => className(layer.owner(j)),
  }),
  number: (key, title, value, show, more = {}) => ({ key, title, kind: "number", first: "down", width: 104, value, text: (row) => show(value(row)), ...more }),
  name: (key, title, value, more = {}) => ({
    key,
    title,
    width: 150,
    grow: 3,
    value: (row) => className(value(row)),
    cell: (row) => classLink(value(row)),
    ...more,
  }),
  thumb: (place = (row) => row, side = 44) => ({ key: "picture", title: "image", width: 72, csv: false, cell: (row) => thumbnail(place(row), { side }) }),
  file: (place = (row) => row) => ({ key: "file", title: "file", width: 200, grow: 5, value: (row) => files[place(row)], cell: (row) => imageLink(place(row)), csv: (row) => files[place(row)] }),
};
