// The search box: features by number, classes by name, images by file name.

const FOUND = 8;

const foldedNames = remembered((list) => list.map((name) => name.toLowerCase()));

/** What the words may stand for, `[kind, text, address]`, the first ones of each kind, best first; and how many there are. */
function find(words) {
  const asked = words.trim().toLowerCase();
  if (!asked) return { found: [], many: 0 };
  const found = [];
  const number = /^(?:feature\s+)?(\d+)$/.exec(asked);
  if (number) {
    const inOrder = [...layers].sort((a, b) => (b === shown.layer) - (a === shown.layer) || b.index - a.index);
    for (const layer of inOrder) if (Number(number[1]) < layer.features) found.push(["feature", layers.length > 1 ? `${Number(number[1])} of ${layer.title}` : `${Number(number[1])}`, to.feature(layer, Number(number[1]))]);
  }
  let many = found.length;
  for (const [kind, list, address] of [["class", classes, to.class], ["image", files, to.image]]) {
    const names = foldedNames(list);
    const [first, rest] = [[], []]; // those that begin so, and those that have it in them
    for (let i = 0; i < names.length; i += 1) {
      const at = names[i].indexOf(asked);
      if (at < 0) continue;
      many += 1;
      const hits = at === 0 ? first : rest;
      if (hits.length < FOUND) hits.push(i);
    }
    for (const i of [...first, ...rest].slice(0, FOUND)) found.push([kind, list[i], address(i)]);
  }
  return { found, many };
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
    const { found, many } = find(box.value);
    list.replaceChildren(
      ...found.map(([kind, text, address], i) =>
        h("div", { role: "option", id: `found-${i}`, "aria-selected": "false", "data-address": address, on: { mousedown: (event) => { event.preventDefault(); go(address); } } }, h("span", { class: "kind" }, kind), h("span", { class: "name" }, named(text))),
      ),
    );
    const told = many > found.length ? `${whole(found.length)} of ${whole(many)} shown` : `${many || "nothing"} found`;
    said.textContent = box.value.trim() ? told : "";
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
