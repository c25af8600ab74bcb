// What the first two networks make of the same images: which of them each has right.

/** Whether there are two networks whose decisions can be compared. */
const bothDecide = networks.length > 1 && networks.slice(0, 2).every(({ decisions }) => decisions);

/** Names of the first two networks where they are short, else their places. */
const toldOfBoth = () => {
  const titles = networks.slice(0, 2).map(({ name }) => name);
  return titles.every((name) => name && name.length <= 18) ? titles : ["first", "second"];
};

/** By the value that an address has: which predictions, of the first and of the second, on an image of a label. */
const COMPARED = {
  first: (a, b, label) => a === label && b !== label,
  second: (a, b, label) => a !== label && b === label,
  wrong: (a, b, label) => a === b && a !== label,
  differ: (a, b) => a !== b,
};

/** A test of images by what both networks make of them; all pass where nothing such is asked. */
function comparedFilter(asked) {
  if (!bothDecide || !Object.hasOwn(COMPARED, asked)) return () => true;
  const [a, b] = networks.map((network) => network.decisions && network.decided("predicted"));
  return (place) => COMPARED[asked](a[place], b[place], labels[place]);
}

function comparedChoice(asked, change) {
  const [a, b] = toldOfBoth().map((name, n) => (name === networks[n].name ? apart(name) : `the ${name}`));
  const options = [["", "any"], ["first", `only ${a} is right`], ["second", `only ${b} is right`], ["wrong", "both wrong alike"], ["differ", "they differ"]];
  return choice("networks", networks.length > 2 ? "first two networks" : "networks", asked, options, change);
}

/** Which classes and which images changed. */
function comparedPanel() {
  const [a, b] = networks;
  const [first, second] = [a, b].map(accuracyOf);
  const told = toldOfBoth();
  const accuracy = (n, values) =>
    columnOf.number(`accuracy${n + 1}`, h("span", {}, named(told[n]), " accuracy"), (c) => values[c], percent, { heading: `${told[n]}: accuracy`, hint: `accuracy in ${networks[n].name}` });
  const columns = [
    columnOf.name("class", "class", (c) => c, { width: 130 }),
    columnOf.number("images", "images", (c) => imagesOf(0)[c], whole, { width: 84 }),
    accuracy(0, first),
    accuracy(1, second),
    columnOf.number("difference", "difference, points", (c) => second[c] - first[c], points, { first: "up", hint: "second less first, in percentage points" }),
  ];
  const grid = new Grid({ label: "Classes in both networks", columns, tall: 8, sort: "difference", open: to.class });
  grid.show(range(classes.length));
  const only = (asked) => {
    const many = range(files.length).filter(comparedFilter(asked)).length;
    return link(to.images([["networks", asked]]), plural(many, "image"));
  };
  return panel(
    "Which classes and images changed",
    { wide: true, tools: [csvButton("classes-of-both", "accuracy of each class in both networks", () => csvLines(columns, grid.rows))] },
    h(
      "p",
      { class: "prose" },
      "From the first network, ",
      h("b", {}, named(a.name)),
      ", to the second, ",
      h("b", {}, named(b.name)),
      `, accuracy goes from ${percent(a.decisions.accuracy ?? NaN)} to ${percent(b.decisions.accuracy ?? NaN)}: `,
      only("first"),
      " only the first has right, ",
      only("second"),
      " only the second.",
    ),
    grid.scroller,
  );
}
