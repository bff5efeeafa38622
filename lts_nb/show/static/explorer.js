// One explorer for every home: sliders, pictures, the chosen member and its reasons; all else tells it what to show.

const NEIGHBOURS = 4; // on each side
const APART = 0.02; // in quality, from one neighbour to the next

class FrontierExplorer {
  constructor(root, view, home) {
    Object.assign(this, { root, home });
    root.classList.add("lts-explorer");
    this.state = { limits: {}, pinned: [], chosen: -1, fits: null, x: null, y: null, sort: null };
    this.act = {
      hover: (row) => this.scatter.showCard(row),
      take: (row) => this.take(row),
      pin: (row) => this.pin(row),
      walk: (step) => this.walk(step),
      limit: (name, value) => this.limit(name, value),
    };
    this.show(view);
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(root);
  }

  // A view, perhaps a newer one than before: what was set stays where it still means something.
  show(view) {
    const before = this.view,
      kept = (row) => (before ? view.rowOf.get(idOf(before, row)) : undefined);
    const { state } = this;
    state.pinned = state.pinned.map(kept).filter((row) => row != null);
    state.x = view.columns[state.x] ? state.x : view.costs[0];
    state.y = view.columns[state.y] ? state.y : view.quality;
    state.fits = new Uint8Array(view.n);
    this.view = view;
    this.build();
    this.choose();
  }

  build() {
    const { view, state, root, act } = this;
    this.scatter = new Scatter(root, view, state, act);
    this.parallel = new Parallel(root, view, state, act);
    this.sliders = new Map(view.limited.map((name) => [name, this.slider(name)]));
    this.said = element("p", { class: "lts-said", "aria-live": "polite", role: "status" });
    this.reasons = element("div", { class: "lts-reasons" });
    this.buttons = element("div", { class: "lts-buttons" });
    this.architectures = element("div", { class: "lts-architectures" });
    this.table = element("div", { class: "lts-table" });
    const axes = element("div", { class: "lts-axes" }, this.axisChoice("y", "up"), this.axisChoice("x", "across"));
    const budget = element(
      "section",
      { class: "lts-budget", "aria-label": "Budget" },
      element("h3", {}, "Budget"),
      ...[...this.sliders.values()].map((one) => one.node),
      element("button", { type: "button", onclick: () => this.setLimits({}) }, "No limits"),
      this.legend(),
    );
    const chosen = element(
      "section",
      { class: "lts-chosen", "aria-label": "Chosen" },
      element("h3", {}, "Chosen"),
      this.said,
      this.buttons,
      this.reasons,
      this.architectures,
    );
    root.replaceChildren(
      element("header", {}, element("h2", {}, view.title), element("p", {}, view.summary)),
      element(
        "div",
        { class: "lts-main" },
        budget,
        element("section", { "aria-label": "Pictures" }, axes, this.scatter.node, this.parallel.node),
        chosen,
      ),
      this.table,
    );
    this.scatter.place();
    this.parallel.place();
    this.drawn = root.clientWidth;
  }

  legend() {
    const { view } = this,
      has = (role) => view.marks.some((mark) => mark.role === role);
    const line = (colour, text) => element("li", {}, element("i", { class: `lts-key lts-key-${colour}` }), text);
    const measured = view.marks.filter((mark) => mark.role === "frontier" && mark.measured).length;
    return element(
      "ul",
      { class: "lts-legend" },
      line("member", `${view.n.toLocaleString("en")} members${view.predicted ? ", predicted" : ""}`),
      measured ? line("measured", `${measured} measured, a line from what was predicted`) : null,
      has("baseline") ? line("baseline", view.baseline_name) : null,
      has("lts") ? line("rival", "LTS's evolution, measured") : null,
      line("chosen", "chosen"),
      line("pinned", "pinned: shift-click, or P"),
    );
  }

  slider(name) {
    const metric = this.view.metrics[name],
      values = this.view.columns[name];
    let low = Infinity,
      high = -Infinity;
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    const loose = metric.more ? low : high,
      steps = 1000,
      logs = low > 0;
    const valueAt = (place) => (logs ? low * (high / low) ** (place / steps) : low + ((high - low) * place) / steps);
    const placeOf = (value) =>
      high === low ? 0 : steps * (logs ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
    const set = (place) => {
      const end = metric.more ? place <= 0 : place >= steps;
      this.limit(name, end ? null : valueAt(place));
    };
    const range = element("input", {
      type: "range",
      min: 0,
      max: steps,
      step: 1,
      value: metric.more ? 0 : steps,
      "aria-label": `${metric.limit_label}`,
      oninput: () => set(Number(range.value)),
    });
    const number = element("input", {
      type: "text",
      inputMode: "decimal",
      "aria-label": `${metric.limit_label}, as a number`,
      onchange: () => this.limit(name, this.numberOf(number.value, metric)),
    });
    const show = (value) => {
      range.value =
        value == null ? (metric.more ? 0 : steps) : Math.round(placeOf(Math.min(high, Math.max(low, value))));
      range.setAttribute("aria-valuetext", value == null ? "no limit" : withUnit(metric, value));
      if (document.activeElement !== number) number.value = plain((value ?? loose) * metric.per_unit, 4);
      number.classList.toggle("lts-loose", value == null);
    };
    show(null);
    return {
      node: element("label", { class: "lts-limit" }, element("span", {}, metric.limit_label), number, range),
      show,
    };
  }

  numberOf(text, metric) {
    const value = Number(text.replaceAll(",", ""));
    return Number.isFinite(value) && value > 0 ? value / metric.per_unit : null;
  }

  axisChoice(which, words) {
    const names = Object.keys(this.view.columns),
      { metrics } = this.view;
    const choice = element(
      "select",
      {
        "aria-label": `Axis ${words}`,
        onchange: () => {
          this.state[which] = choice.value;
          this.resize(true);
        },
      },
      ...names.map((name) =>
        element("option", { value: name, selected: name === this.state[which] }, metrics[name].axis),
      ),
    );
    return element("label", {}, `${words} `, choice);
  }

  limit(name, value) {
    const limits = { ...this.state.limits };
    value == null ? delete limits[name] : (limits[name] = value);
    this.setLimits(limits);
  }

  setLimits(limits, told = true) {
    this.state.limits = Object.fromEntries(
      Object.entries(limits).filter(([name, value]) => value != null && this.sliders.has(name)),
    );
    for (const [name, one] of this.sliders) one.show(this.state.limits[name]);
    this.choose();
    if (told) this.home.tell({ limits: this.state.limits });
  }

  // Choose anew after a budget moved, mark what it allows, and draw.
  choose() {
    const { view, state } = this,
      found = chooseMember(view, state.limits);
    state.over = found.over;
    for (let i = 0; i < view.n; i++) state.fits[i] = found.over[i] <= 0 ? 1 : 0;
    state.met = found.fits;
    state.nearest = found.row;
    this.take(found.fits ? found.row : -1, false);
  }

  take(row, byHand = true) {
    this.state.chosen = row;
    this.state.byHand = byHand;
    this.draw();
    this.home.tell({ chosen: row < 0 ? "" : idOf(this.view, row) });
  }

  pin(row) {
    if (row == null || row < 0) return;
    const { state } = this;
    state.pinned = state.pinned.includes(row)
      ? state.pinned.filter((one) => one !== row)
      : [...state.pinned, row].slice(-4);
    this.draw();
  }

  walk(step) {
    const { view, state } = this,
      at = state.chosen < 0 ? 0 : view.placeOf[state.chosen];
    const mark = at < 0 ? 0 : at;
    this.take(view.walk[Math.min(view.n - 1, Math.max(0, mark + step))]);
  }

  resize(anyway = false) {
    if (!anyway && this.root.clientWidth === this.drawn) return;
    this.drawn = this.root.clientWidth;
    this.scatter.place();
    this.parallel.place();
    this.draw();
  }

  draw() {
    this.scatter.draw();
    this.parallel.draw();
    this.say();
    this.tell();
  }

  say() {
    const { view, state } = this,
      row = state.chosen;
    if (row < 0) {
      this.said.textContent = "No member keeps this budget. What comes nearest, one limit at a time:";
      this.reasons.replaceChildren(element("ul", {}, ...this.tradeOffs()));
      return;
    }
    this.said.replaceChildren(element("b", {}, idOf(view, row).slice(0, 8)), `: ${inWords(view, row)}`);
    this.reasons.replaceChildren(...this.why(row));
  }

  tradeOffs() {
    const { view, state } = this;
    return tradeOffs(view, state.limits).map(({ name, row }) => {
      const metric = view.metrics[name],
        value = view.columns[name][row],
        needs = withUnit(metric, value);
      const limit = withUnit(metric, state.limits[name]),
        off = offInWords(metric, value / state.limits[name]);
      const words = `${metric.label} ${needs} in place of ${limit} (${off}) `;
      return element("li", {}, words, this.link(row));
    });
  }

  link(row, words = null) {
    return element(
      "button",
      { type: "button", class: "lts-link", onclick: (event) => (event.shiftKey ? this.pin(row) : this.take(row)) },
      words ?? idOf(this.view, row).slice(0, 8),
    );
  }

  // The limit that binds, the next larger member and what it would cost, and what the chosen one consists of.
  why(row) {
    const { view, state } = this,
      lines = [],
      limited = Object.keys(state.limits).length > 0;
    if (!limited) lines.push("No limit is set: a balanced choice, the knee of the frontier.");
    else if (state.byHand)
      lines.push(
        this.keeps(row) ? "Taken by hand; it keeps the budget." : "Taken by hand; it does not keep the budget.",
      );
    const next = limited ? nextBetter(view, state.limits, state.over, row) : null;
    const found = lines.map((line) => element("p", {}, line));
    if (next) {
      const limits = next.binding.map((name) => {
        const metric = view.metrics[name],
          value = view.columns[name][next.row],
          ratio = value / state.limits[name];
        const percent = `${plain(100 * Math.abs(ratio - 1), 2)} % ${metric.more ? "less" : "more"} than`;
        const off = ratio > 2 && !metric.more ? timesInWords(ratio) : percent;
        return `${off} the limit on ${metric.short} (${withUnit(metric, value, 4)})`;
      });
      const quality = view.metrics[view.quality];
      const better = `${quality.label} ${withUnit(quality, view.columns[view.quality][next.row])}`;
      found.push(
        element(
          "p",
          {},
          `What binds: the next better one, ${better}, needs ${limits.join(" and ")}: `,
          this.link(next.row),
        ),
      );
    }
    if (view.parts.length && row < view.n) found.push(this.parts(row));
    return found;
  }

  keeps(row) {
    const bounds = boundsOf(this.view, this.state.limits);
    return excessOf(bounds, (name) => knownOf(this.view, row, name).value) <= 0;
  }

  parts(row) {
    const { view } = this,
      parts = view.partsOf(row),
      total = parts.reduce((sum, [, value]) => sum + value, 0);
    const bars = parts.map(([name, value], k) =>
      element("span", {
        class: `lts-part lts-part-${k}`,
        title: name,
        style: `width: ${(100 * Math.max(value, 0)) / total}%`,
      }),
    );
    const text = parts.map(([name, value]) => `${name} ${Math.round((100 * value) / total)} %`).join(", ");
    return element(
      "div",
      { class: "lts-parts", role: "img", "aria-label": `${view.parts_of}: ${text}` },
      element("small", {}, `${view.parts_of}: ${text}`),
      element("div", {}, ...bars),
    );
  }

  tell() {
    const { view, state } = this,
      row = state.chosen,
      pinned = state.pinned.filter((one) => one !== row);
    const copy = (words, text) =>
      element("button", { type: "button", onclick: (event) => copied(event.target, text, this.root) }, words);
    this.buttons.replaceChildren(
      ...(row < 0
        ? []
        : [
            copy("Copy command", view.command.replace("MEMBER", idOf(view, row).slice(0, 8))),
            copy("Python", `${view.python}.architecture("${idOf(view, row).slice(0, 8)}")`),
            copy("JSON", JSON.stringify(asRecord(view, row), null, 1)),
            element(
              "button",
              {
                type: "button",
                "aria-pressed": state.pinned.includes(row) ? "true" : "false",
                onclick: () => this.pin(row),
              },
              state.pinned.includes(row) ? "Unpin" : "Pin",
            ),
            view.can_measure && this.home.measure && !view.markOf.get(row)?.measured
              ? element(
                  "button",
                  {
                    type: "button",
                    onclick: (event) => {
                      event.target.disabled = true;
                      this.home.measure(idOf(view, row));
                    },
                  },
                  "Measure",
                )
              : null,
            element("button", { type: "button", onclick: () => download("frontier.csv", asCsv(view)) }, "CSV"),
          ].filter(Boolean)),
    );
    const shown = row < 0 ? pinned : [row, ...pinned],
      scale = shown.length ? widestOf(view, shown) : null;
    this.architectures.replaceChildren(
      ...shown.map((one, k) =>
        element(
          "figure",
          {},
          element("figcaption", {}, `${k && row >= 0 ? "B" : "A"}: ${idOf(view, one).slice(0, 8)}`),
          drawLayers(view, one, shown.length > 1 ? shown[k ? 0 : 1] : null, scale),
        ),
      ),
    );
    if (shown.length > 1) {
      const rows = differences(view, shown[0], shown[1]).map((cells) =>
        element("tr", {}, ...cells.map((cell) => element("td", {}, `${cell}`))),
      );
      const head = element("tr", {}, ...["", "A", "B"].map((text) => element("th", {}, text)));
      this.architectures.append(element("table", {}, element("caption", {}, "What differs"), head, ...rows));
    }
    const near = row < 0 ? tradeOffs(view, state.limits).map((one) => one.row) : [];
    this.table.replaceChildren(memberTable(this, [...shown, ...near]));
  }
}

async function copied(button, text, root) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // a page from a file, or a frame, may not: then by hand
    const area = element("textarea", { value: text });
    root.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  button.dataset.copied = text;
  setTimeout(() => {
    button.textContent = before;
  }, 1200);
}

function asRecord(view, row) {
  const a = architectureOf(view, row),
    record = {
      id: idOf(view, row),
      n_layer: a.depth,
      d_model: a.d_model,
      d_inner: a.inner,
      n_head: a.heads,
      n_kv_head: a.kv,
    };
  for (const name of view.shown) {
    const known = knownOf(view, row, name);
    record[name] = known.value;
    if (known.promised) record[`${name}_measured`] = false;
  }
  return record;
}

function asCsv(view) {
  const names = Object.keys(view.columns),
    head = ["id", "n_layer", "d_model", "d_inner", "n_head", ...names, "measured"];
  const lines = Array.from({ length: view.n }, (_, row) => {
    const a = architectureOf(view, row),
      values = names.map((name) => knownOf(view, row, name).value);
    return [
      idOf(view, row),
      a.depth,
      a.d_model,
      a.inner.join(" "),
      a.heads.join(" "),
      ...values,
      Boolean(view.markOf.get(row)?.measured),
    ].join(",");
  });
  return [head.join(","), ...lines, ""].join("\n");
}

function download(name, text) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
