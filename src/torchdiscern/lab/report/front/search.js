// The search box: features by number, classes by name, images by file name.

const FOUND = 8;

const foldedNames = remembered((list) => list.map((name) => name.toLowerCase()));

/** What the words may stand for: `[kind, text, address]`, best first. */
function find(words) {
  const asked = words.trim().toLowerCase();
  if (!asked) return [];
  const found = [];
  const number = /^(?:feature\s+)?(\d+)$/.exec(asked);
  if (number) {
    const inOrder = [...layers].sort((a, b) => (b === shown.layer) - (a === shown.layer) || b.index - a.index);
    for (const layer of inOrder) if (Number(number[1]) < layer.features) found.push(["feature", layers.length > 1 ? `${Number(number[1])} of ${layer.title}` : `${Number(number[1])}`, to.feature(layer, Number(number[1]))]);
  }
  for (const [kind, list, address] of [["class", classes, to.class], ["image", files, to.image]]) {
    const names = foldedNames(list);
    const hits = [];
    for (let i = 0; i < names.length && hits.length < 200; i += 1) if (names[i].includes(asked)) hits.push(i);
    hits.sort((a, b) => names[b].startsWith(asked) - names[a].startsWith(asked) || a - b);
    for (const i of hits.slice(0, FOUND)) found.push([kind, list[i], address(i)]);
  }
  return found;
}

function startSearch() {
  const [box, list, said] = ["search", "found", "many-found"].map((id) => document.getElementById(id));
  let chosen = -1;
  const close = () => {
    list.hidden = true;
    chosen = -1;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  };
  const go = (address) => {
    close();
    box.value = "";
    location.hash = address;
  };
  const choose = (index) => {
    chosen = index;
    Array.from(list.children).forEach((one, i) => one.setAttribute("aria-selected", i === chosen));
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
    if (chosen >= 0) box.setAttribute("aria-activedescendant", list.children[chosen].id);
  };
  const show = () => {
    const found = find(box.value);
    list.replaceChildren(
      ...found.map(([kind, text, address], i) =>
        h("div", { role: "option", id: `found-${i}`, "aria-selected": "false", "data-address": address, on: { mousedown: (event) => { event.preventDefault(); go(address); } } }, h("span", { class: "kind" }, kind), h("span", { class: "name" }, named(text))),
      ),
    );
    said.textContent = box.value.trim() ? `${found.length || "nothing"} found` : "";
    list.hidden = found.length === 0;
    box.setAttribute("aria-expanded", String(found.length > 0));
    choose(found.length ? 0 : -1);
  };
  box.addEventListener("input", show);
  box.addEventListener("blur", close);
  box.addEventListener("keydown", (event) => {
    const many = list.children.length;
    if (event.key === "Escape") close();
    else if (list.hidden || !many) return;
    else if (event.key === "ArrowDown") choose((chosen + 1) % many);
    else if (event.key === "ArrowUp") choose((chosen - 1 + many) % many);
    else if (event.key === "Enter") go(list.children[Math.max(0, chosen)].dataset.address);
    else return;
    event.preventDefault();
  });
}
