// A table of any length: only the rows in view exist. Sorted by its headings, walked with the arrow keys.

/** Keys of the rows by which a column sorts; NaN becomes the last in either direction. */
function keysOf(column, rows) {
  const keys = new Map();
  for (const row of rows) {
    const value = column.value(row);
    keys.set(row, typeof value === "string" ? value.toLowerCase() : value);
  }
  return keys;
}

/** Rows in the order of a column; equal ones keep the order they were given in. */
function sortRows(column, rows, down) {
  const keys = keysOf(column, rows);
  const sign = down ? -1 : 1;
  return Array.from(rows).sort((a, b) => {
    const [left, right] = [keys.get(a), keys.get(b)];
    if (left === right) return 0;
    const gone = Number(Number.isNaN(left)) - Number(Number.isNaN(right));
    if (gone || Number.isNaN(left)) return gone;
    return left < right ? -sign : sign;
  });
}

const PRINTED = 400;
const grids = new WeakMap();

/**
 * A column: `key`, `title`, `value(row)` to sort by, `text(row)` or `cell(row)` to show, `width` in pixels,
 * `kind` "number" or "text", `first` "down" where the first press of its heading sorts downwards.
 */
class Grid {
  constructor({ label, columns, rowHeight = 34, sort, down = false, open = null, sorted = null, tall = 17 }) {
    Object.assign(this, { columns, rowHeight, sort, down, open, sorted, tall });
    this.given = [];
    this.rows = [];
    this.shown = new Map();
    this.active = { row: -1, column: 0 };
    this.head = h("div", { role: "row", class: "row", "aria-rowindex": 1 }, columns.map((column, i) => this.heading(column, i)));
    this.body = h("div", { role: "rowgroup", class: "rows" });
    this.scroller = h(
      "div",
      { class: "grid", role: "grid", "aria-label": label, "aria-colcount": columns.length, on: { keydown: (event) => this.key(event), focusin: (event) => this.focused(event) } },
      h("div", { role: "rowgroup", class: "heads" }, this.head),
      this.body,
    );
    this.scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    const widths = columns.map(({ width = 110, grow = 0 }) => (grow ? `minmax(${width}px, ${grow}fr)` : `minmax(${width}px, 1fr)`));
    this.scroller.style.setProperty("--columns", widths.join(" "));
    this.scroller.style.setProperty("--least", `${columns.reduce((sum, { width = 110 }) => sum + width, 0)}px`);
    this.scroller.style.setProperty("--row", `${rowHeight}px`);
    this.watch = new ResizeObserver(() => {
      this.measure();
      this.draw();
    });
    grids.set(this.scroller, this);
    this.watch.observe(this.scroller);
  }

  /** The headings' height is known once they are on the page. */
  measure() {
    this.scroller.style.setProperty("--head", `${this.head.offsetHeight + 1}px`);
  }

  heading(column, index) {
    const press = () => this.sortBy(column);
    const button = h("button", { type: "button", tabindex: index ? -1 : 0, title: column.hint, on: { click: press } }, column.title, h("span", { class: "arrow", "aria-hidden": "true" }));
    return h("div", { role: "columnheader", class: column.kind ?? "text", "aria-colindex": index + 1 }, column.value ? button : h("span", { tabindex: index ? -1 : 0 }, column.title));
  }

  sortBy(column) {
    const first = column.first === "down";
    this.down = this.sort === column.key ? !this.down : first;
    this.sort = column.key;
    this.show(this.given);
    this.sorted?.();
  }

  /** Takes rows, in any order, and shows them sorted. */
  show(rows, keep = false) {
    const column = this.columns.find(({ key }) => key === this.sort);
    this.given = rows;
    this.rows = column ? sortRows(column, rows, this.down) : Array.from(rows);
    this.columns.forEach(({ key, value }, i) => {
      const direction = this.down ? "descending" : "ascending";
      if (value) this.head.children[i].setAttribute("aria-sort", key === this.sort ? direction : "none");
    });
    this.scroller.setAttribute("aria-rowcount", this.rows.length + 1);
    this.body.style.setProperty("height", `${this.rows.length * this.rowHeight}px`);
    const room = Math.min(this.rows.length, this.tall) * this.rowHeight;
    this.scroller.style.setProperty("--room", `${room + 2}px`);
    for (const element of this.shown.values()) element.remove();
    this.shown.clear();
    if (!keep) this.scroller.scrollTop = 0;
    if (this.active.row >= this.rows.length) this.active.row = -1;
    this.draw();
    this.mark();
  }

  /** For paper: the first rows, all at once. */
  unroll() {
    this.printing = true;
    const many = Math.min(this.rows.length, PRINTED);
    if (many < this.rows.length) this.scroller.dataset.printed = `The first ${whole(many)} of ${whole(this.rows.length)} rows.`;
    this.lay(0, many);
  }

  /** Back on the screen. */
  rollUp() {
    this.printing = false;
    delete this.scroller.dataset.printed;
    this.draw();
  }

  /** Makes the rows in view, and lets the others go but for the one with the focus. */
  draw() {
    if (this.printing) return;
    const seen = this.scroller.clientHeight || 600;
    const from = Math.max(0, Math.floor(this.scroller.scrollTop / this.rowHeight) - 4);
    const until = Math.min(this.rows.length, Math.ceil((this.scroller.scrollTop + seen) / this.rowHeight) + 4);
    this.lay(from, until);
  }

  lay(from, until) {
    for (const [index, element] of this.shown) {
      if ((index < from || index >= until) && index !== this.active.row) {
        element.remove();
        this.shown.delete(index);
      }
    }
    let next = this.active.row >= until ? (this.shown.get(this.active.row) ?? null) : null;
    for (let index = until - 1; index >= from; index -= 1) {
      let element = this.shown.get(index);
      if (!element) {
        element = this.line(index);
        this.shown.set(index, element);
        this.body.insertBefore(element, next);
      }
      next = element;
    }
  }

  line(index) {
    const row = this.rows[index];
    const cells = this.columns.map((column, i) => {
      const content = column.cell ? column.cell(row) : column.text(row);
      const role = i === 0 ? "rowheader" : "gridcell";
      const cell = h("div", { role, class: column.kind ?? "text", "aria-colindex": i + 1 }, content);
      const focus = cell.querySelector("a") ?? cell;
      for (const link of cell.querySelectorAll("a")) link.tabIndex = -1;
      focus.tabIndex = index === this.active.row && i === this.active.column ? 0 : -1;
      return cell;
    });
    const on = this.open ? { click: (event) => this.pressed(event, row) } : {};
    return h("div", { role: "row", class: this.open ? "row opens" : "row", "aria-rowindex": index + 2, style: { top: `${index * this.rowHeight}px` }, on }, cells);
  }

  pressed(event, row) {
    if (!event.target.closest("a") && String(getSelection()) === "") location.hash = this.open(row);
  }

  /** The element that takes the focus; row -1 is that of the headings. */
  target(row, column) {
    const cell = (row < 0 ? this.head : this.shown.get(row))?.children[column];
    return cell?.querySelector("a, button, span[tabindex]") ?? cell;
  }

  /** One stop for the Tab key in all of the table. */
  mark() {
    for (const element of this.scroller.querySelectorAll("[tabindex='0']")) element.tabIndex = -1;
    const target = this.target(this.active.row, this.active.column) ?? this.target(-1, 0);
    if (target) target.tabIndex = 0;
  }

  focused({ target }) {
    const cell = target.closest("[aria-colindex]");
    if (!cell) return;
    this.active = { row: Number(cell.parentElement.getAttribute("aria-rowindex")) - 2, column: Number(cell.getAttribute("aria-colindex")) - 1 };
    this.mark();
  }

  key(event) {
    if (event.altKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.rowHeight) - 2);
    const [bottom, right] = [this.rows.length - 1, this.columns.length - 1];
    let { row, column } = this.active;
    if (event.key === "ArrowDown") row += 1;
    else if (event.key === "ArrowUp") row -= 1;
    else if (event.key === "ArrowRight") column += 1;
    else if (event.key === "ArrowLeft") column -= 1;
    else if (event.key === "PageDown") row += page;
    else if (event.key === "PageUp") row = Math.max(0, row - page);
    else if (event.key === "Home") [row, column] = event.ctrlKey ? [0, 0] : [row, 0];
    else if (event.key === "End") [row, column] = event.ctrlKey ? [bottom, right] : [row, right];
    else if (event.key === "Enter" && this.open && row >= 0 && !event.target.closest("a")) location.hash = this.open(this.rows[row]);
    else return;
    event.preventDefault();
    this.goTo(Math.max(-1, Math.min(bottom, row)), Math.max(0, Math.min(right, column)));
  }

  /** Where in it a person is. */
  get place() {
    const { sort, down, active } = this;
    return { sort, down, active, top: this.scroller.scrollTop, focused: this.scroller.contains(document.activeElement) };
  }

  comeBack({ sort, down, active, top, focused }) {
    // in a large view's table the address says the order
    if (!this.sorted && (sort !== this.sort || down !== this.down)) {
      Object.assign(this, { sort, down });
      this.show(this.given);
    }
    this.measure();
    this.scroller.scrollTop = top;
    if (focused) return this.goTo(active.row, active.column);
    this.active = active;
    this.draw();
    this.mark();
  }

  goTo(row, column) {
    const before = this.active.row;
    this.active = { row, column };
    if (row >= 0) {
      const room = this.scroller.clientHeight - this.head.offsetHeight;
      const top = row * this.rowHeight;
      if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
      else if (top + this.rowHeight > this.scroller.scrollTop + room) this.scroller.scrollTop = top + this.rowHeight - room;
    }
    this.draw();
    if (before !== row) this.draw();
    this.mark();
    const target = this.target(row, column);
    target?.focus({ preventScroll: true });
    target?.closest("[aria-colindex]").scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}
