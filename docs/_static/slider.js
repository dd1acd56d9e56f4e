// The page "Move a kernel": a 3x3 kernel on a small image, its weights, and the map of all sums. No libraries.
(() => {
  "use strict";

  const SIZE = 9;
  const IMAGES = {
    lecture: [
      "000000000", "001110000", "000111000", "000011100", "000011000", "000110000", "001100000", "011000000", "000000000",
    ].map((row) => [...row].map(Number)),
    edge: image((y, x) => (x > 4 ? 1 : 0)),
    ring: image((y, x) => (Math.abs(Math.hypot(y - 4, x - 4) - 3) < 0.6 ? 1 : 0)),
    dot: image((y, x) => (y === 4 && x === 4 ? 1 : 0)),
    ramp: image((y, x) => x),
  };
  const KERNELS = {
    lecture: [1, 0, 1, 0, 1, 0, 1, 0, 1],
    identity: [0, 0, 0, 0, 1, 0, 0, 0, 0],
    box: Array(9).fill(1 / 9),
    sobelx: [-1, 0, 1, -2, 0, 2, -1, 0, 1],
    sobely: [-1, -2, -1, 0, 0, 0, 1, 2, 1],
    laplacian: [0, 1, 0, 1, -4, 1, 0, 1, 0],
    sharpen: [0, -1, 0, -1, 5, -1, 0, -1, 0],
    diagonal: [2, -1, -1, -1, 2, -1, -1, -1, 2],
  };
  const MARK = "#e8702a";

  const find = (name) => document.getElementById("slider-" + name);
  const input = find("input"), output = find("output"), weights = find("weights");
  if (!input) return;

  let kernel = [...KERNELS.lecture];
  let pixels = IMAGES.lecture;
  let padding = 0;
  let place = { y: 2, x: 3 }; // of the output that is marked
  let dragged = false;

  function image(value) {
    return Array.from({ length: SIZE }, (_, y) => Array.from({ length: SIZE }, (_, x) => value(y, x)));
  }

  const maps = () => SIZE - 2 + 2 * padding;
  const pixel = (y, x) => (pixels[y] || [])[x] || 0; // beyond the border: zero
  const terms = (y, x) => kernel.map((w, tap) => [w, pixel(y - padding + Math.floor(tap / 3), x - padding + (tap % 3))]);
  const sum = (y, x) => terms(y, x).reduce((total, [w, p]) => total + w * p, 0);
  const shown = (value) => String(Math.round(value * 100) / 100 || 0).replace("-", "−");

  // One canvas: squares of gray (or red and blue where there are negative ones) with their numbers.
  function draw(canvas, rows, offset, marked) {
    const count = rows.length, dots = window.devicePixelRatio || 1, width = canvas.clientWidth || 288;
    canvas.width = canvas.height = Math.round(width * dots);
    const context = canvas.getContext("2d"), side = canvas.width / count;
    const values = rows.flat(), low = Math.min(0, ...values), high = Math.max(...values, -low, 1e-9);
    context.font = `${Math.max(9 * dots, side * 0.34)}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    rows.forEach((row, y) => row.forEach((value, x) => {
      const part = value / high, pale = Math.round(255 * (1 - Math.abs(part)));
      const bright = Math.round(255 * part);
      context.fillStyle = low < 0
        ? `rgb(${part < 0 ? pale : 255}, ${part < 0 ? Math.round(255 + 135 * part) : pale}, ${part < 0 ? 255 : pale})`
        : `rgb(${bright}, ${bright}, ${bright})`;
      context.fillRect(x * side, y * side, side, side);
      context.strokeStyle = "#8c959f";
      context.lineWidth = dots;
      const outside = y < offset || x < offset || y >= count - offset || x >= count - offset;
      context.setLineDash(outside ? [2 * dots, 2 * dots] : []);
      context.strokeRect(x * side, y * side, side, side);
      context.fillStyle = low < 0 || part > 0.5 ? "#000" : "#fff";
      context.fillText(shown(value), (x + 0.5) * side, (y + 0.54) * side);
    }));
    context.setLineDash([]);
    context.strokeStyle = MARK;
    context.lineWidth = 3.5 * dots;
    context.strokeRect(marked.x * side + 1, marked.y * side + 1, marked.size * side - 2, marked.size * side - 2);
  }

  function render() {
    const count = maps(), padded = SIZE + 2 * padding;
    place = { y: Math.min(Math.max(place.y, 0), count - 1), x: Math.min(Math.max(place.x, 0), count - 1) };
    const whole = Array.from({ length: padded }, (_, y) =>
      Array.from({ length: padded }, (_, x) => pixel(y - padding, x - padding)));
    const map = Array.from({ length: count }, (_, y) => Array.from({ length: count }, (_, x) => sum(y, x)));
    draw(input, whole, padding, { ...place, size: 3 });
    draw(output, map, 0, { ...place, size: 1 });
    const products = terms(place.y, place.x).map(([w, p]) => `${w < 0 ? `(${shown(w)})` : shown(w)}·${shown(p)}`);
    find("sum").textContent = `Row ${place.y}, column ${place.x}: ${products.join(" + ")} = ${shown(sum(place.y, place.x))}`;
    const slider = document.getElementById("slider");
    slider.dataset.map = JSON.stringify(map);
    slider.dataset.image = JSON.stringify(pixels);
    slider.dataset.kernel = JSON.stringify(kernel);
  }

  kernel.forEach((_, tap) => {
    const field = document.createElement("input");
    field.type = "number";
    field.step = "any";
    field.setAttribute("aria-label", `weight in row ${Math.floor(tap / 3)}, column ${tap % 3}`);
    field.addEventListener("input", () => {
      if (!Number.isFinite(field.valueAsNumber)) return;
      kernel[tap] = field.valueAsNumber;
      find("kernel").value = "own";
      render();
    });
    weights.append(field);
  });

  function show_weights() {
    [...weights.children].forEach((field, tap) => (field.value = Math.round(kernel[tap] * 1000) / 1000));
  }

  function move(event, canvas, margin) {
    const box = canvas.getBoundingClientRect(), count = canvas === input ? SIZE + 2 * padding : maps();
    place.x = Math.floor(((event.clientX - box.left) / box.width) * count) - margin;
    place.y = Math.floor(((event.clientY - box.top) / box.height) * count) - margin;
    render();
  }

  for (const [canvas, margin] of [[input, 1], [output, 0]]) {
    canvas.addEventListener("pointerdown", (event) => {
      dragged = true;
      canvas.setPointerCapture(event.pointerId);
      move(event, canvas, margin);
    });
    canvas.addEventListener("pointermove", (event) => dragged && move(event, canvas, margin));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (dragged = false));
  }
  input.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    place = { y: place.y + step[0], x: place.x + step[1] };
    render();
  });
  find("image").addEventListener("change", (event) => {
    pixels = IMAGES[event.target.value];
    render();
  });
  find("kernel").addEventListener("change", (event) => {
    kernel = [...KERNELS[event.target.value]];
    show_weights();
    render();
  });
  find("padding").addEventListener("change", (event) => {
    padding = event.target.checked ? 1 : 0;
    render();
  });
  window.addEventListener("resize", render);
  show_weights();
  render();
})();
