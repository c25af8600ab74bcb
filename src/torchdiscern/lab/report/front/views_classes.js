// All classes in one table, and one class: its features, its accuracy, what it is taken for.

const FAILURES = 48;

function classColumns(layer) {
  const { network } = layer;
  const value = (name) => (c) => layer.get(name)[c];
  const columns = [
    columnOf.name("class", "class", (c) => c, { width: 190 }),
    columnOf.number("images", "images", (c) => imagesOf(0)[c], whole),
    columnOf.number("owned", "features owned", (c) => ownedIn(layer)[c], whole),
    columnOf.number("coverage", "coverage", value("coverage"), (share) => percent(share, 2), { hint: "share of all features’ distributions" }),
    columnOf.number("prior", "prior", value("prior"), (share) => percent(share, 2), { hint: "share of the images" }),
    columnOf.number("ratio", "coverage / prior", (c) => (value("prior")(c) > 0 ? value("coverage")(c) / value("prior")(c) : NaN), (ratio) => fixed(ratio, 2)),
  ];
  if (network.decisions) {
    columns.push(
      columnOf.number("accuracy", "accuracy", (c) => accuracyOf(network)[c], percent),
      columnOf.number("part", "logit by own features", (c) => ownPart(network, c), (part) => percent(part, 0), { hint: "how much of the class’s own logit the features that it owns carry; above 100% where other features speak against the class" }),
    );
  }
  return columns;
}

/** Of a logit below 0 there is no share. */
function ownPart(network, label) {
  const [own, all] = [network.decided("owned_part")[label], network.decided("whole_part")[label]];
  return all > 0 ? own / all : NaN;
}

function classesView(layer, asked) {
  return filtered({
    title: "Classes",
    path: "#/classes",
    name: "classes",
    columns: classColumns(layer),
    many: classes.length,
    filter: (values) => {
      const owned = values.get("owned");
      const text = (values.get("name") ?? "").toLowerCase();
      return (c) => (!owned || ownedIn(layer)[c] > 0 === (owned === "yes")) && classes[c].toLowerCase().includes(text);
    },
    fields: (change) => [textField("name", "name contains", asked, change), choice("owned", "owns a feature", asked, [["", "any"], ["yes", "yes"], ["no", "no"]], change)],
    asked,
    sort: "coverage",
    down: true,
    open: to.class,
    one: "class",
    more: "classes",
    intro: h("p", { class: "note" }, `A class is covered by the features that fire for it. Numbers of features are those of ${layer.title}.`),
  });
}

const textField = (name, title, asked, change) => h("label", { class: "field" }, h("span", {}, title), h("input", { type: "search", name, value: asked.get(name), on: { input: change } }));

function classView(layer, label) {
  const { network } = layer;
  const { decisions } = network;
  const images = imagesOf(0)[label];
  const owned = byOwner(layer).filter((j) => layer.owner(j) === label);
  const part = decisions ? [network.decided("owned_part")[label], network.decided("whole_part")[label]] : [];
  return [
    h("p", { class: "way" }, link(to.classes(), "Classes")),
    h("h1", { tabindex: -1 }, h("span", {}, "Class "), named(classes[label])),
    figures([
      ["images", link(to.images([["label", label]]), whole(images))],
      ["features owned", whole(ownedIn(layer)[label]), `of ${whole(layer.features)}`],
      ["coverage", percent(layer.get("coverage")[label], 2), `prior ${percent(layer.get("prior")[label], 2)}`],
      decisions && ["accuracy", percent(accuracyOf(network)[label])],
      decisions && ["logit by own features", percent(ownPart(network, label), 0), `${short(part[0])} of ${short(part[1])}, mean over its images${ownPart(network, label) > 1 ? ", as other features speak against it" : ""}${network.layers.length > 1 ? `; ${network.last.name}` : ""}`],
    ]),
    images ? null : h("p", { class: "notice" }, "This class has no images here; what depends on them is shown as –."),
    h(
      "div",
      { class: "two" },
      h("div", {}, ownedPanel(layer, label, owned), decisions && fewPanel(network, label)),
      decisions ? h("div", {}, confusionPanels(network, label)) : h("p", { class: "none" }, "No classifier reads a layer of this report, so there is no accuracy and no confusion to show."),
    ),
    decisions && images ? failurePanel(network, label) : null,
  ];
}

function ownedPanel(layer, label, owned) {
  const share = (j) => layer.share(label, j);
  const largest = () => byOwner(layer).filter((j) => share(j) > 0).sort((a, b) => share(b) - share(a)).slice(0, 10);
  const rows = Array.from(owned.length ? owned : largest());
  const peak = Math.max(...rows.map(share), 1e-9);
  const columns = [
    columnOf.feature(layer),
    { key: "bar", title: "share of this class", csv: false, kind: "wide", cell: (j) => bar(share(j), peak) },
    columnOf.number("share", "share", share, shareOf),
    columnOf.number("impurity", "impurity", unlessDead(layer, "impurity"), fixed),
    columnOf.number("firing", "firing rate", (j) => layer.get("firing")[j], percent),
    ...(owned.length ? [] : [columnOf.owner(layer)]),
  ];
  const title = owned.length ? "Features it owns" : "Features with the largest share";
  const note = owned.length ? (owned.length > 20 ? `The 20 of ${whole(owned.length)} with the largest share.` : null) : "It owns no feature of this layer. These speak most for it, and for their owner more.";
  const more = owned.length > 20 ? [h("p", { class: "note" }, link(`#/features?layer=${layer.index}&owner=${label}&sort=share&down=1`, `All ${whole(owned.length)} in the table of features`))] : [];
  return tablePanel(title, { name: `class-${label}-features`, note, columns, rows: rows.slice(0, 20), all: rows, none: "No feature fires for it.", after: more });
}

function fewPanel(network, label) {
  const { decisions } = network;
  const few = network.decided("few");
  const rows = [...decisions.few.map(([k, accuracy], i) => ({ name: `top ${k}`, own: few[i * classes.length + label], all: accuracy ?? NaN })), { name: "all features", own: accuracyOf(network)[label], all: decisions.accuracy ?? NaN }];
  const columns = [
    { key: "features", title: "features kept", value: (row) => row.name, text: (row) => row.name },
    columnOf.number("own", "accuracy of this class", (row) => row.own, percent),
    columnOf.number("all", "of all classes", (row) => row.all, percent),
  ];
  return tablePanel("Accuracy with few features", { name: `class-${label}-few`, note: ["Each class keeps only the features that add most to its logit. They are chosen by class means of the images shown here; ", h("code", {}, "train"), " chooses them on training images, so its numbers differ a little."], columns, rows });
}

function confusionPanels(network, label) {
  const confusion = network.decided("confusion");
  const many = classes.length;
  const table = (title, name, value, total, none) => {
    const rows = range(many).filter((c) => c !== label && value(c) > 0).sort((a, b) => value(b) - value(a) || a - b);
    const peak = value(rows[0] ?? 0) || 1;
    const columns = [
      columnOf.name("class", "class", (c) => c),
      { key: "bar", title: "how many", csv: false, kind: "wide", cell: (c) => bar(value(c), peak) },
      columnOf.number("images", "images", value, whole, { heading: "images" }),
      columnOf.number("share", "share", (c) => value(c) / total, percent),
    ];
    return tablePanel(title, { name, columns, rows: rows.slice(0, 10), all: rows, none, after: rows.length > 10 ? [h("p", { class: "note" }, `And ${plural(rows.length - 10, "class", "classes")} more in the CSV.`)] : [] });
  };
  let taken = 0;
  for (let c = 0; c < many; c += 1) taken += confusion[c * many + label];
  return [
    table("What it is taken for", `class-${label}-taken-for`, (c) => confusion[label * many + c], imagesOf(0)[label], "None of its images is taken for another class."),
    table("What is taken for it", `class-${label}-taken-for-it`, (c) => confusion[c * many + label], taken, "No image of another class is taken for it."),
  ];
}

function failurePanel(network, label) {
  const predicted = network.decided("predicted");
  const sure = network.hasProbabilities;
  const size = sure ? (i) => network.decided("probability")[i] : (i) => network.gap(i);
  const rows = range(files.length).filter((i) => labels[i] === label && predicted[i] !== label).sort((a, b) => size(b) - size(a) || a - b);
  const columns = imageColumns(network).filter(({ key }) => key !== "picture");
  const below = (place) => [h("span", { class: "name" }, named(classes[predicted[place]])), h("span", { class: "number" }, sure ? percent(size(place), 0) : short(size(place)))];
  const note = sure ? "The surest mistakes first; below each the class predicted and its probability." : "The largest gaps first; below each the class predicted, and how far its logit is above that of the label.";
  return panel(
    "Images it fails on",
    { wide: true, note: rows.length ? note : null, tools: rows.length ? [csvButton(`class-${label}-failures`, "images it fails on", () => csvLines(columns, rows))] : [] },
    rows.length ? gallery(rows.slice(0, FAILURES), { label: "Images it fails on", about: below }) : h("p", { class: "none" }, "None."),
    rows.length > FAILURES ? h("p", { class: "note" }, link(to.images([["label", label], ["right", "no"]]), `All ${whole(rows.length)} in the table of images`)) : null,
  );
}
