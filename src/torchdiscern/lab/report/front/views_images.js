// All images in one table, one image with what decided its class, and the doubtful labels.

const rightOrWrong = (network, place) => (network.isRight(place) ? "right" : "wrong");

function imageColumns(network) {
  const columns = [columnOf.thumb(), columnOf.file(), columnOf.name("label", "label", (i) => labels[i])];
  if (network.decisions) {
    columns.push(
      columnOf.name("predicted", "predicted", (i) => network.decided("predicted")[i]),
      { key: "right", title: "right", width: 70, value: (i) => rightOrWrong(network, i), text: (i) => rightOrWrong(network, i) },
    );
  }
  if (network.hasProbabilities) {
    columns.push(
      columnOf.number("probability", "probability", (i) => network.decided("probability")[i], percent, { hint: "of the predicted class" }),
      columnOf.number("own", "of the label", (i) => network.decided("own_probability")[i], percent, { hint: "probability of the label", heading: "probability of the label" }),
    );
  } else if (network.decisions) {
    columns.push(columnOf.number("gap", "logit gap", (i) => (network.isRight(i) ? NaN : network.gap(i)), short, { hint: "of a wrong prediction: its logit less that of the label" }));
  }
  return columns;
}

function imagesView(network, asked) {
  return filtered({
    title: "Images",
    path: "#/images",
    name: "images",
    columns: imageColumns(network),
    many: files.length,
    rowHeight: 54,
    filter: (values) => {
      const text = (values.get("name") ?? "").toLowerCase();
      const [label, predicted, right] = ["label", "predicted", "right"].map((name) => values.get(name));
      const compared = comparedFilter(values.get("networks"));
      return (i) =>
        (!label || labels[i] === Number(label)) &&
        (!predicted || network.decided("predicted")[i] === Number(predicted)) &&
        (!right || network.isRight(i) === (right === "yes")) &&
        compared(i) &&
        (!text || files[i].toLowerCase().includes(text));
    },
    fields: (change) => [
      textField("name", "file name contains", asked, change),
      choice("label", "label", asked, classOptions(), change),
      ...(network.decisions ? [choice("predicted", "predicted", asked, classOptions(), change), choice("right", "prediction", asked, [["", "any"], ["yes", "right"], ["no", "wrong"]], change)] : []),
      bothDecide && comparedChoice(asked, change),
    ],
    asked,
    sort: null,
    down: false,
    open: to.image,
    one: "image",
    intro: null,
  });
}

function imageView(network, place) {
  const { decisions, suspicions, last: layer } = network;
  const get = (name, i = place) => network.decided(name)[i];
  const [label, predicted] = [labels[place], decisions ? get("predicted") : -1];
  const right = predicted === label;
  const doubt = suspicions ? network.doubted("rows").indexOf(place) : -1;
  const step = (i, text) => (i < 0 || i >= files.length ? null : link(to.image(i), text));
  const probability = (name) => (network.hasProbabilities ? `probability ${percent(get(name))}` : null);
  const shown = h("div", { class: "portrait" }, thumbnail(place, { side: Math.max(192, Math.min(256, 2 * facts.images.size)) }));
  const entries = [
    ["label", classLink(label), probability("own_probability")],
    decisions && ["predicted", classLink(predicted), probability("probability")],
    decisions && ["prediction", right ? "right" : "wrong", network.hasProbabilities ? null : `by the ${NEAREST_MEAN}`],
    decisions && ["logit", short(get("logits", 2 * place)), right ? null : `of the label ${short(get("logits", 2 * place + 1))}`],
    doubt >= 0 && ["suspicious label", link(to.labels(), `rank ${whole(doubt + 1)}`), `of ${whole(suspicions.doubtful)}`],
  ];
  return [
    h("p", { class: "way" }, link(to.images(), "Images"), step(place - 1, "← previous"), step(place + 1, "next →")),
    h("h1", { tabindex: -1, class: "file" }, named(files[place])),
    h("div", { class: "beside" }, shown, figures(entries), networks.length > 1 && networks.some((one) => one.decisions) && predictionsPanel(place)),
    decisions ? h("div", { class: "two" }, spokePanel(layer, place, predicted), right ? null : againstPanel(layer, place, predicted, label)) : h("p", { class: "none" }, "No classifier reads a layer of this report, so there is no decision to explain."),
    showingPanel(layer, place),
  ];
}

/** Parts of a number: those of features, the classifier's own, and what all other features add. */
function partsTable(title, { name, note, layer, features, values, bias, total, totalName }) {
  const listed = Array.from(range(features.length)).filter((i) => features[i] >= 0);
  const sum = listed.reduce((all, i) => all + values[i], 0);
  const others = total - bias - sum;
  // where no other feature adds anything, rounding to single precision leaves a crumb
  const rest = Math.abs(others) > 1e-6 * Math.max(Math.abs(total), Math.abs(bias), Math.abs(sum)) ? others : 0;
  const lines = [
    ...listed.map((i) => ({ feature: features[i], part: values[i] })),
    { words: "all other features", part: rest },
    { words: layer.network.hasProbabilities ? "bias of the classifier" : "for the length of the class mean", part: bias },
    { words: totalName, part: total, sum: true },
  ];
  const peak = Math.max(...lines.map(({ part, sum: whole }) => (whole ? 0 : Math.abs(part)))) || 1;
  const owner = ({ feature }) => (feature === undefined ? -1 : layer.owner(feature));
  const columns = [
    { key: "feature", title: "feature", value: (one) => one.feature ?? one.words, cell: (one) => (one.feature === undefined ? one.words : featureLink(layer, one.feature)) },
    columnOf.name("owner", "owner", owner),
    { key: "bar", title: "for or against", kind: "wide", csv: false, cell: (one) => (one.sum ? "" : signedBar(one.part, peak)) },
    columnOf.number("part", "part", (one) => one.part, signedShort),
  ];
  return tablePanel(title, { name, note: `${note} ${carried(listed.length, sum, rest)}`, columns, rows: lines });
}

const signedShort = (value) => signed(short(value), value);

/** How much the listed features carry of what all add; a share only where the others do not take away again. */
function carried(many, sum, rest) {
  if (!many) return "";
  const who = many === 1 ? "The one listed" : `The ${many} listed`;
  if (rest < 0) return `${who} ${many === 1 ? "adds" : "add"} ${signedShort(sum)}, all others together ${signedShort(rest)}.`;
  return `${who} ${many === 1 ? "carries" : "carry"} ${percent(sum / (sum + rest), 0)} of what all features add.`;
}

function spokePanel(layer, place, predicted) {
  return partsTable("What decided its class", {
    name: `image-${place}-parts`,
    note: `What each feature adds to the logit of ${classes[predicted].slice(0, 80)}, the class predicted.`,
    layer,
    features: layer.network.decidedRow("spoke", place),
    values: layer.network.decidedRow("parts", place),
    bias: layer.network.decided("biases")[2 * place],
    total: layer.network.decided("logits")[2 * place],
    totalName: "logit",
  });
}

function againstPanel(layer, place, predicted, label) {
  const [logits, biases] = [layer.network.decided("logits"), layer.network.decided("biases")];
  return partsTable("What spoke for the wrong class", {
    name: `image-${place}-against`,
    note: `What each feature adds for ${classes[predicted].slice(0, 80)}, less what it adds for the label, ${classes[label].slice(0, 80)}.`,
    layer,
    features: layer.network.decidedRow("against", place),
    values: layer.network.decidedRow("against_parts", place),
    bias: biases[2 * place] - biases[2 * place + 1],
    total: logits[2 * place] - logits[2 * place + 1],
    totalName: "logit less that of the label",
  });
}

/** The features that have this image among their top ones. */
function showingPanel(layer, place) {
  const many = layer.shape("top.rows")[1];
  const [rows, activations] = [layer.get("top.rows"), layer.get("top.activations")];
  const found = range(rows.length).filter((i) => rows[i] === place && !layer.isBroken(Math.floor(i / many)));
  const feature = (i) => Math.floor(i / many);
  const columns = [
    { key: "feature", title: "feature", value: feature, cell: (i) => featureLink(layer, feature(i)) },
    columnOf.name("owner", "owner", (i) => layer.owner(feature(i))),
    columnOf.number("rank", "place", (i) => (i % many) + 1, whole),
    columnOf.number("activation", "activation", (i) => activations[i], short),
  ];
  return tablePanel("Features that have it among their top images", { name: `image-${place}-features`, columns, rows: found.slice(0, 30), all: found, none: "None." });
}

function labelsView(network) {
  const { suspicions } = network;
  const head = h("h1", { tabindex: -1 }, "Suspicious labels");
  if (!suspicions) return [head, h("p", { class: "none" }, "No label can be doubted here: that takes at least two classes with images.")];
  const [rows, margin, nearer, spoke] = ["rows", "margin", "nearer", "spoke"].map((name) => network.doubted(name));
  const many = shapeOf(`suspicions.${network.index}.spoke`)[1];
  const speaking = (i) => spoke.subarray(i * many, (i + 1) * many);
  const place = (i) => rows[i];
  const columns = [
    { key: "rank", title: "rank", kind: "number", width: 70, value: (i) => i, text: (i) => whole(i + 1), csv: (i) => i + 1 },
    columnOf.thumb(place),
    columnOf.file(place),
    columnOf.name("label", "label", (i) => labels[rows[i]]),
    columnOf.name("nearer", "nearer to", (i) => nearer[i]),
    columnOf.number("margin", "margin", (i) => margin[i], (value) => fixed(value, 4), { first: "up", hint: "low where the label is doubtful" }),
    { key: "features", title: "features that say so", width: 170, grow: 2, cell: (i) => featureLinks(network.last, speaking(i)), csv: (i) => Array.from(speaking(i)).filter((j) => j >= 0).join(" ") },
  ];
  const grid = new Grid({ label: "Suspicious labels", columns, rowHeight: 54, tall: 11, sort: "rank", open: (i) => to.image(rows[i]) });
  grid.show(range(rows.length));
  return [
    head,
    h("p", { class: "prose" }, named(suspicions.rule)),
    suspicions.worth.length ? panel("What this ranking is worth", {}, h("ul", { class: "prose" }, suspicions.worth.map((one) => h("li", {}, named(one))))) : null,
    h("div", { class: "head" }, h("p", { class: "count" }, doubtWords(rows.length, suspicions.doubtful)), h("div", { class: "tools" }, csvButton("suspicious-labels", "suspicious labels", () => csvLines(columns, grid.rows)))),
    grid.scroller,
  ];
}

function doubtWords(listed, doubtful) {
  if (listed === doubtful) return plural(listed, "doubtful label");
  return [`${whole(listed)} of ${plural(doubtful, "doubtful label")}, the worst; `, h("code", {}, "torchdiscern labels"), " writes all of them"];
}
