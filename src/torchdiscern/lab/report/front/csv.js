// Tables as CSV: RFC 4180, numbers with all their digits, text that no spreadsheet takes for a formula.

/** The shortest text that gives the number back, in the precision that it came in. */
function exact(value) {
  if (!Number.isFinite(value)) return "";
  if (Math.fround(value) !== value || Number.isInteger(value)) return String(value);
  for (let digits = 6; digits < 10; digits += 1) {
    const text = Number(value.toPrecision(digits));
    if (Math.fround(text) === value) return String(text);
  }
  return String(value);
}

function csvCell(value) {
  if (typeof value === "number") return exact(value);
  const text = /^[=+\-@\t\r]/.test(value) && !/^[+-]?\d+(\.\d+)?%?$/.test(value) ? `'${value}` : value;
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csvText = (lines) => lines.map((line) => `${line.map(csvCell).join(",")}\r\n`).join("");

const fileName = (text) => text.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|-+$/g, "").slice(0, 80) || "table";

/** A button that hands over what `lines` gives: rows of text and numbers, the headings first. */
function csvButton(name, about, lines) {
  const hand = () => {
    const url = URL.createObjectURL(new Blob([csvText(lines())], { type: "text/csv;charset=utf-8" }));
    h("a", { href: url, download: `${fileName(name)}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
  return h("button", { type: "button", class: "csv", "aria-label": `CSV: ${about}`, on: { click: hand } }, "CSV");
}

/** Lines of a table: `columns` as in table.js. */
function csvLines(columns, rows) {
  const used = columns.filter((column) => column.csv !== false);
  const cell = (column, row) => (column.csv ?? column.value)(row);
  return [used.map((column) => column.heading ?? column.title), ...Array.from(rows, (row) => used.map((column) => cell(column, row)))];
}
