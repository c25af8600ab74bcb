// Charts as SVG, drawn at the width that there is, so that text keeps its size.

const TALL = 220;

/** Draws anew when the width changes. `label` says in words what is to be seen. */
function chart(label, draw, height = TALL) {
  const frame = h("div", { class: "chart", style: { "min-height": `${height}px` } });
  let width = 0;
  const redraw = () => {
    if (!width) return;
    const drawn = draw(width);
    drawn.setAttribute("role", "img");
    drawn.setAttribute("aria-label", label);
    frame.replaceChildren(drawn);
  };
  new ResizeObserver(() => {
    if (frame.clientWidth === width) return;
    width = frame.clientWidth;
    redraw();
  }).observe(frame);
  return frame;
}

/** Round numbers from 0 to the top, about `many`. */
function ticks(top, many = 4) {
  if (!(top > 0)) return [0];
  const rough = top / many;
  const power = 10 ** Math.floor(Math.log10(rough));
  const steps = [1, 2, 5, 10].map((one) => one * power);
  const step = steps.find((one, i) => one >= rough || steps[i + 1] > top) ?? rough;
  return Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, i) => i * step);
}

/** Digits after the point that tell ticks apart. */
const tickDigits = (marks) => (marks.length < 2 ? 0 : Math.max(0, Math.min(6, Math.ceil(-Math.log10(marks[1]) - 1e-9))));

/** Axes of a plot: gives the drawing, and where values lie. */
function axes(width, { height = TALL, left = 48, right = 12, low = 0, high, top, x, y, showX = null, showY }) {
  const [bottom, above] = [height - 40, 12];
  const atX = (value) => left + ((value - low) / (high - low || 1)) * (width - left - right);
  const atY = (value) => bottom - (value / (top || 1)) * (bottom - above);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height });
  const text = (at, words, kind) => svg("text", { x: at[0], y: at[1], class: kind }, words);
  for (const mark of ticks(top, height < TALL ? 2 : 4)) {
    drawing.append(svg("line", { class: "rule", x1: left, x2: width - right, y1: atY(mark), y2: atY(mark) }));
    drawing.append(text([left - 6, atY(mark) + 4], showY(mark), "tick end"));
  }
  if (showX) {
    const marks = ticks(high - low, Math.max(2, Math.min(6, Math.floor(width / 90))));
    const digits = tickDigits(marks);
    for (const mark of marks) drawing.append(text([atX(low + mark), bottom + 16], showX(low + mark, digits), "tick middle"));
  }
  drawing.append(text([left + (width - left - right) / 2, height - 4], x, "axis middle"), text([2, 8], y, "axis unseen"));
  return { drawing, atX, atY, bottom };
}

/** Bars over ascending edges; `line` stands over them in steps, `marks` are places on the axis with their names. */
function histogram(width, { edges, counts, x, y, showX, showY, line = null, marks = [], top = Math.max(...counts, ...(line ?? []), 0), height }) {
  const plot = axes(width, { height, low: edges[0], high: edges[edges.length - 1], top, x, y, showX, showY });
  counts.forEach((count, i) => {
    const [from, until] = [plot.atX(edges[i]), plot.atX(edges[i + 1])];
    const up = plot.atY(count);
    plot.drawing.append(svg("rect", { class: "fill", x: from + 0.5, width: Math.max(0.5, until - from - 1), y: up, height: Math.max(0, plot.bottom - up) }));
  });
  if (line) {
    const steps = line.flatMap((value, i) => [`${plot.atX(edges[i])},${plot.atY(value)}`, `${plot.atX(edges[i + 1])},${plot.atY(value)}`]);
    plot.drawing.append(svg("polyline", { class: "outline", points: steps.join(" ") }));
  }
  for (const { at, words } of marks) {
    const x1 = plot.atX(at);
    const right = x1 < width / 2;
    plot.drawing.append(
      svg("line", { class: "mark", x1, x2: x1, y1: 2, y2: plot.bottom }),
      svg("text", { class: `marked${right ? "" : " end"}`, x: x1 + (right ? 5 : -5), y: 10 }, words),
    );
  }
  return plot.drawing;
}

/** One bar a class, in the given order, and a line for what was expected. */
function ranked(width, { values, expected, order, x, y, showY, top = Math.max(...values, ...expected, 0), height }) {
  const plot = axes(width, { height, low: 0, high: order.length, top, x, y, showY });
  const bars = [];
  const line = [];
  order.forEach((label, i) => {
    const [from, until] = [plot.atX(i), plot.atX(i + 1)];
    const gap = until - from > 4 ? 1 : 0;
    bars.push(`M${from} ${plot.bottom}V${plot.atY(values[label])}H${until - gap}V${plot.bottom}Z`);
    line.push(`${from},${plot.atY(expected[label])}`, `${until},${plot.atY(expected[label])}`);
  });
  plot.drawing.append(svg("path", { class: "fill", d: bars.join("") }), svg("polyline", { class: "outline", points: line.join(" ") }));
  return plot.drawing;
}

/** What the shapes of a chart stand for. */
const legend = (filled, outlined) =>
  h("p", { class: "legend" }, h("span", {}, h("i", { class: "swatch fill" }), " ", filled), h("span", {}, h("i", { class: "swatch line" }), " ", outlined));
