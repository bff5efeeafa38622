// An architecture layer by layer, to scale: heads to the left, feed-forward to the right, the first layer below.

function drawLayers(view, row, other, scale) {
  const a = architectureOf(view, row),
    b = other == null ? null : architectureOf(view, other);
  const rowHeight = a.depth > 24 ? 9 : 15,
    height = a.depth * rowHeight + 4,
    width = 320,
    middle = 130;
  const unit = (middle - 40) / scale.mixer,
    unitRight = (width - middle - 50) / scale.inner;
  const sides = "attention to the left, feed-forward to the right";
  const title = `${a.depth} layers of width ${a.d_model}, drawn to scale: ${sides}`;
  const picture = shape("svg", {
    viewBox: `0 0 ${width} ${height}`,
    class: "lts-layers",
    role: "img",
    "aria-label": title,
  });
  for (let i = 0; i < a.depth; i++) {
    const y = height - 2 - (i + 1) * rowHeight,
      thick = rowHeight - 2;
    const differs = b && (b.inner[i] !== a.inner[i] || b.heads[i] !== a.heads[i] || b.kv[i] !== a.kv[i]);
    const heads = (a.heads[i] || !view.optional_halves ? headsWide(view, a, i) : 0) * unit;
    picture.append(
      shape("rect", {
        x: middle - 2 - heads,
        y,
        width: heads,
        height: thick,
        class: a.heads[i] ? "lts-heads" : "lts-conv",
      }),
    );
    picture.append(
      shape("rect", { x: middle + 2, y, width: a.inner[i] * unitRight, height: thick, class: "lts-inner" }),
    );
    if (rowHeight > 10) {
      const kv = a.kv[i] && a.kv[i] !== a.heads[i] ? `/${a.kv[i]}` : "";
      picture.append(
        label(
          middle - 6 - heads,
          y + 10,
          "end",
          a.heads[i] ? `${a.heads[i]}${kv}` : view.optional_halves ? "none" : "conv",
        ),
      );
      picture.append(label(middle + 6 + a.inner[i] * unitRight, y + 10, "start", `${a.inner[i]}`));
    }
    if (differs) picture.append(shape("rect", { x: 0, y, width: 4, height: thick, class: "lts-differs" }));
  }
  return picture;
}

function label(x, y, anchor, text) {
  return shape("text", { x, y, "text-anchor": anchor, class: "lts-small" }, text);
}

function headsWide(view, a, i) {
  return view.d_head ? Math.max(a.heads[i], 1) * view.d_head : a.d_model;
}

function widestOf(view, rows) {
  const each = rows.map((row) => architectureOf(view, row));
  const mixer = Math.max(...each.flatMap((a) => a.heads.map((_, i) => headsWide(view, a, i))));
  return { mixer, inner: Math.max(1, ...each.flatMap((a) => a.inner)) };
}

// What two architectures differ in, a row each, the second one's values after the first one's.
function differences(view, row, other) {
  const [a, b] = [row, other].map((one) => architectureOf(view, one)),
    found = [];
  for (const [name, value] of [
    ["layers", "depth"],
    ["width", "d_model"],
    ["vocabulary", "vocab"],
    ["embedding", "d_embed"],
  ]) {
    if (a[value] !== b[value]) found.push([name, a[value], b[value]]);
  }
  for (const [name, value] of [
    ["feed-forward", "inner"],
    ["heads", "heads"],
    ["key/value heads", "kv"],
  ]) {
    const [first, second] = [rangeOf(a[value]), rangeOf(b[value])];
    if (first !== second) found.push([name, first, second]);
  }
  for (const name of view.shown) {
    const [first, second] = [row, other].map((one) => knownOf(view, one, name).value);
    if (first !== second && first != null && second != null) {
      const metric = view.metrics[name],
        change = 100 * (second / first - 1);
      found.push([
        metric.label,
        withUnit(metric, first),
        `${withUnit(metric, second)} (${change > 0 ? "+" : "−"}${plain(Math.abs(change), 2)} %)`,
      ]);
    }
  }
  return found;
}
