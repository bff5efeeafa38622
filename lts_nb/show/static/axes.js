// Logarithmic axes, colours of the host, and small helpers to draw with.

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.includes("-") || ["role", "for", "tabindex"].includes(name)) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function shape(tag, properties = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function colourOf(root, name) {
  return getComputedStyle(root).getPropertyValue(`--lts-${name}`).trim();
}

// A colour of the style sheet, #rgb, #rgba or longer, as one pixel of a picture.
function pixelOf(colour) {
  const short = colour.length < 7,
    digits = [...colour.slice(1)];
  const parts = short
    ? digits.map((digit) => digit + digit)
    : digits.reduce((found, digit, i) => (i % 2 ? found : [...found, digit + digits[i + 1]]), []);
  const [red, green, blue, alpha = 255] = parts.map((part) => parseInt(part, 16));
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

// An axis from the least to the largest value with some room, in the units of the screen.
function axisOf(metric, arrays, [from, to]) {
  let low = Infinity,
    high = -Infinity;
  for (const values of arrays) {
    for (const value of values) {
      if (value > 0) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
  }
  if (!(low < Infinity)) [low, high] = [1, 10];
  const room = Math.max(Math.log(high / low) * 0.04, 0.02);
  const start = Math.log(low * metric.per_unit) - room,
    end = Math.log(high * metric.per_unit) + room;
  const scale = (to - from) / (end - start);
  return {
    metric,
    from,
    to,
    at: (value) => from + (Math.log(value * metric.per_unit) - start) * scale,
    value: (at) => Math.exp(start + (at - from) / scale) / metric.per_unit,
    ticks: ticksOf(Math.exp(start), Math.exp(end)),
    low,
    high,
  };
}

// Round numbers of the screen's unit, from four to nine of them where there is room.
function ticksOf(low, high) {
  for (const steps of [
    [1],
    [1, 3],
    [1, 2, 5],
    [1, 1.5, 2, 3, 5, 7],
    [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9],
  ]) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const step of steps) {
        const value = step * 10 ** power;
        if (value >= low && value <= high) found.push(Number(value.toPrecision(3)));
      }
    }
    if (found.length >= 4) return found.filter((_, i) => i % Math.ceil(found.length / 9) === 0);
  }
  return [low, high].map((value) => Number(value.toPrecision(3)));
}

function sizedCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
