// Thumbnails out of shared sheets, with a feature's map above them.

const SHEETS_KEPT = 48;
const sheets = new Map();
const overlay = { on: true };
const redrawn = new WeakMap();

/** The sheet as an image; those asked for last are kept. */
function sheet(index) {
  let found = sheets.get(index);
  sheets.delete(index);
  found ??= loadSheet(index);
  sheets.set(index, found);
  if (sheets.size > SHEETS_KEPT) sheets.delete(sheets.keys().next().value);
  return found;
}

async function loadSheet(index) {
  await complete;
  const image = new Image();
  if (!facts.images.whole) {
    image.src = `images/${String(index).padStart(4, "0")}.webp`;
    await image.decode();
    return image;
  }
  const bytes = bytesOf(document.getElementById(`sheet-${index}`).textContent);
  image.src = URL.createObjectURL(new Blob([bytes], { type: "image/webp" }));
  await image.decode().finally(() => URL.revokeObjectURL(image.src));
  return image;
}

const nameOfImage = (place) => `${files[place]}, class ${classes[labels[place]]}`;

/** A picture of an image; where the image has gone, a frame that says so. `map` is a row of `Examples.maps`. */
function thumbnail(place, { side = null, map = null, label = nameOfImage(place) } = {}) {
  const style = side ? { width: `${side}px`, height: `${side}px` } : {};
  if (!there[place]) {
    return h("span", { class: "thumb gone", role: "img", "aria-label": `${label}: the image has gone`, style }, h("span", { "aria-hidden": "true" }, "image gone"));
  }
  const { size, across } = facts.images;
  const drawn = map ? Math.max(size, 96) : size;
  const canvas = h("canvas", { class: "thumb", role: "img", "aria-label": label, width: drawn, height: drawn, style });
  if (size < 48) canvas.classList.add("coarse");
  const draw = async () => {
    let image;
    try {
      image = await sheet(Math.floor(place / (across * across)));
    } catch {
      canvas.replaceWith(h("span", { class: "thumb gone", role: "img", "aria-label": `${label}: cannot be read`, style }, "unreadable"));
      return;
    }
    const cell = place % (across * across);
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = size >= 48;
    pen.drawImage(image, (cell % across) * size, Math.floor(cell / across) * size, size, size, 0, 0, drawn, drawn);
    if (map && overlay.on) drawMap(pen, map, drawn);
  };
  if (map) redrawn.set(canvas, draw);
  draw();
  return canvas;
}

/** Where the feature is silent the image is veiled, where it fires it stays clear, tinted a little. */
function drawMap(pen, map, side) {
  const grid = Math.round(Math.sqrt(map.length));
  const small = document.createElement("canvas");
  small.width = grid;
  small.height = grid;
  const pixels = new ImageData(grid, grid);
  map.forEach((value, i) => {
    const fires = value / 255;
    pixels.data.set([255 * fires, 176 * fires, 20 * (1 - fires), 255 * (0.7 - 0.5 * fires)], 4 * i);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  pen.imageSmoothingEnabled = true;
  pen.drawImage(small, 0, 0, side, side);
}

/** A switch for the maps of all pictures in view, and what they say. */
function overlaySwitch() {
  const box = h("input", {
    type: "checkbox",
    checked: overlay.on,
    on: {
      change: () => {
        overlay.on = box.checked;
        for (const canvas of document.querySelectorAll("canvas.thumb")) redrawn.get(canvas)?.();
      },
    },
  });
  return h(
    "div",
    { class: "mapped" },
    h("label", { class: "switch" }, box, " show where in the image it fires"),
    h("span", { class: "note" }, "Dark is where the feature is silent; each image by its own largest value."),
  );
}

/** Pictures in rows, each leading to its image; `about` writes what stands below one. */
function gallery(places, { label, about, map = () => null, side = null }) {
  const items = Array.from(places, (place, i) =>
    h(
      "li",
      {},
      h("a", { href: to.image(place), title: files[place] }, thumbnail(place, { map: map(i), side }), h("span", { class: "below" }, about(place, i))),
    ),
  );
  return h("ul", { class: "gallery", "aria-label": label }, items);
}
