"use strict";
// Elements, and numbers as text. Text from the data becomes text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";
const NOTHING = "–";

/** An element: `on` holds listeners, `style` goes through the CSSOM, as the page's policy wants it. */
function h(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

function furnish(element, { on = {}, style = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A name out of the data: its own direction of writing, and never empty. */
const named = (text) => h("bdi", {}, text === "" ? "(no name)" : text);

/** The same where there is only text, as in a choice. */
const apart = (text) => `\u2068${text === "" ? "(no name)" : text}\u2069`;

const minus = (text) => text.replaceAll("-", "−");
const whole = (value) => (Number.isFinite(value) ? value.toLocaleString("en-US") : NOTHING);
const fixed = (value, digits = 3) => (Number.isFinite(value) ? minus(value.toFixed(digits)) : NOTHING);
const percent = (value, digits = 1) => (Number.isFinite(value) ? `${minus((100 * value).toFixed(digits))}%` : NOTHING);
const signed = (text, value) => (value > 0 && text !== NOTHING ? `+${text}` : text);
const points = (value) => signed(fixed(100 * value, 2), value);

/** Three digits that count. */
function short(value) {
  if (!Number.isFinite(value)) return NOTHING;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return minus(value.toExponential(2));
  return minus(size >= 1000 ? value.toFixed(0) : value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : 3));
}

const plural = (many, one, more = `${one}s`) => `${whole(many)} ${many === 1 ? one : more}`;

/** A part of the page under a heading; `tools` stand beside it. */
function panel(title, { tools = [], note = null, level = "h2", wide = false } = {}, ...children) {
  const id = `panel-${(panel.many = (panel.many ?? 0) + 1)}`;
  return h(
    "section",
    { class: wide ? "panel wide" : "panel", "aria-labelledby": id },
    h("div", { class: "head" }, h(level, { id }, title), h("div", { class: "tools" }, tools)),
    note && h("p", { class: "note" }, note),
    children,
  );
}

/** Terms and values side by side. */
function figures(entries, kind = "figures") {
  const shown = entries.filter(Boolean).map(([term, value, about]) =>
    h("div", {}, h("dt", {}, term), h("dd", {}, value, about ? h("span", { class: "about" }, about) : null)),
  );
  return h("dl", { class: kind }, shown);
}

const folds = new WeakMap();

/** What is built only when someone looks. */
function folded(summary, build) {
  const details = h("details", {}, h("summary", {}, summary));
  const fill = () => {
    if (details.open && details.children.length === 1) details.append(build());
  };
  details.addEventListener("toggle", fill);
  folds.set(details, fill);
  return details;
}

/** Opens it at once: its event would come later. */
function unfold(details) {
  details.open = true;
  folds.get(details)();
}
