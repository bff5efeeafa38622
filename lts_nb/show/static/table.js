// Chosen, pinned and neighbouring members as a table that sorts by any column.

function memberTable(explorer, shown) {
  const { view, state } = explorer,
    around = neighboursOf(view, state.chosen),
    rows = [...new Set([...shown, ...around])];
  const columns = [
    ["id", (row) => idOf(view, row)],
    ["layers", (row) => architectureOf(view, row).depth],
    ["width", (row) => architectureOf(view, row).d_model],
    ["feed-forward", (row) => Math.max(...architectureOf(view, row).inner)],
    ...view.shown.map((name) => [name, (row) => knownOf(view, row, name).value]),
  ];
  const [sorted, turned] = state.sort ?? [];
  const valueOf = columns.find(([name]) => name === sorted)?.[1];
  rows.sort((a, b) => view.worthOf(b) - view.worthOf(a));
  if (valueOf)
    rows.sort((a, b) => (valueOf(a) < valueOf(b) ? -1 : valueOf(a) > valueOf(b) ? 1 : 0) * (turned ? -1 : 1));
  const heads = columns.map(([name]) => {
    const words = view.metrics[name]?.axis ?? name,
      by = name === sorted ? (turned ? "descending" : "ascending") : "none";
    const sort = () => {
      state.sort = [name, name === sorted && !turned];
      explorer.tell();
    };
    return element(
      "th",
      { scope: "col", "aria-sort": by },
      element("button", { type: "button", class: "lts-link", onclick: sort }, words),
    );
  });
  const lines = rows.map((row) => {
    const a = architectureOf(view, row),
      kind = row === state.chosen ? "chosen" : state.pinned.includes(row) ? "pinned" : "";
    const cells = [a.depth, a.d_model, rangeOf(a.inner), ...view.shown.map((name) => valueInWords(view, row, name))];
    return element(
      "tr",
      { class: kind && `lts-row-${kind}` },
      element("td", {}, explorer.link(row)),
      ...cells.map((cell) => element("td", {}, `${cell}`)),
    );
  });
  return element(
    "table",
    {},
    element("caption", {}, "Chosen, pinned and neighbours"),
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...lines),
  );
}

// Steps of the stairs around a member, each some per cent better or less good than the one before.
function neighboursOf(view, row) {
  const at = row < 0 ? -1 : view.placeOf[row],
    found = [];
  if (at < 0) return found;
  for (const step of [-1, 1]) {
    let last = view.worthOf(row),
      some = [];
    for (let place = at + step; place >= 0 && place < view.walk.length && some.length < NEIGHBOURS; place += step) {
      const worth = view.worth[view.walk[place]];
      if (Math.abs(worth - last) >= APART * Math.abs(last)) {
        some.push(view.walk[place]);
        last = worth;
      }
    }
    found.push(...(step < 0 ? some.reverse() : some));
  }
  return found;
}
