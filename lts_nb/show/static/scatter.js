// All members on two logarithmic axes: what a budget leaves in colour, what was measured filled, a whisker to what
// had been predicted, the baseline and other searches beside.

const MARGIN = { left: 62, right: 14, top: 26, bottom: 44 };

class Scatter {
  constructor(root, view, state, act) {
    Object.assign(this, { root, view, state, act });
    this.canvas = element("canvas", {
      tabindex: 0,
      role: "img",
      class: "lts-canvas",
      "aria-label": "Members of the frontier; arrow keys walk along it",
      onpointermove: (event) => this.hover(event),
      onpointerleave: () => this.act.hover(null),
      onclick: (event) => this.click(event),
      onkeydown: (event) => this.key(event),
    });
    this.card = element("div", { class: "lts-card", hidden: true });
    this.node = element("div", { class: "lts-scatter" }, this.canvas, this.card);
  }

  // Axes and the places of all points; needed anew only where axes or the size change.
  place() {
    const { view, state } = this,
      width = Math.max(this.node.clientWidth, 260);
    const height = Math.round(Math.min(460, Math.max(280, width * 0.62)));
    Object.assign(this, { width, height });
    const marks = (name) => view.marks.filter((mark) => mark.values[name] > 0).map((mark) => mark.values[name]);
    const shown = (name) => [view.columns[name] ?? [], marks(name)];
    this.x = axisOf(view.metrics[state.x], shown(state.x), [MARGIN.left, width - MARGIN.right]);
    this.y = axisOf(view.metrics[state.y], shown(state.y), [height - MARGIN.bottom, MARGIN.top]);
    this.px = new Float32Array(view.n);
    this.py = new Float32Array(view.n);
    for (let i = 0; i < view.n; i++) {
      this.px[i] = this.x.at(view.columns[state.x][i]);
      this.py[i] = this.y.at(view.columns[state.y][i]);
    }
    this.cells = new Map();
    for (let i = 0; i < view.n; i++) {
      const key = (this.px[i] >> 4) * 4096 + (this.py[i] >> 4);
      if (!this.cells.has(key)) this.cells.set(key, []);
      this.cells.get(key).push(i);
    }
  }

  draw() {
    const { view, state, width, height } = this,
      context = sizedCanvas(this.canvas, width, height);
    this.drawAxes(context);
    this.drawMembers(context);
    this.drawLimits(context);
    this.drawMarks(context);
    for (const [row, colour, radius] of [
      ...state.pinned.map((row) => [row, "pinned", 6]),
      [state.chosen, "chosen", 8],
    ]) {
      if (row != null && row >= 0) this.ring(context, row, colour, radius);
    }
  }

  // Tens of thousands of small squares, written pixel by pixel into a picture of their own: what fits lies above.
  drawMembers(context) {
    const { view, width, height, px, py } = this,
      { fits } = this.state,
      ratio = window.devicePixelRatio || 1;
    const across = Math.round(width * ratio),
      down = Math.round(height * ratio);
    const size = Math.round((view.n > 2000 ? 2 : view.n > 200 ? 3 : 5) * ratio),
      half = size >> 1;
    const picture = new ImageData(across, down),
      pixels = new Uint32Array(picture.data.buffer);
    for (const [inside, colour] of [
      [0, "faint"],
      [1, "member"],
    ]) {
      const value = pixelOf(colourOf(this.root, colour));
      for (let i = 0; i < view.n; i++) {
        if (fits[i] !== inside) continue;
        const start = Math.round(py[i] * ratio - half) * across + Math.round(px[i] * ratio - half);
        for (let line = 0; line < size; line++) pixels.fill(value, start + line * across, start + line * across + size);
      }
    }
    this.layer ??= document.createElement("canvas");
    if (this.layer.width !== across || this.layer.height !== down)
      Object.assign(this.layer, { width: across, height: down });
    this.layer.getContext("2d").putImageData(picture, 0, 0);
    context.drawImage(this.layer, 0, 0, width, height);
  }

  drawAxes(context) {
    const { x, y, width, height } = this;
    context.font = `12px ${getComputedStyle(this.root).fontFamily}`;
    context.strokeStyle = colourOf(this.root, "grid");
    context.fillStyle = colourOf(this.root, "text");
    context.lineWidth = 1;
    const line = (a, b, c, d) => {
      context.beginPath();
      context.moveTo(a, b);
      context.lineTo(c, d);
      context.stroke();
    };
    context.textAlign = "center";
    let last = -Infinity;
    for (const tick of x.ticks) {
      const at = x.at(tick / x.metric.per_unit);
      line(at, MARGIN.top, at, height - MARGIN.bottom);
      if (at - last > 44) {
        context.fillText(tick.toLocaleString("en"), at, height - MARGIN.bottom + 16);
        last = at;
      }
    }
    context.textAlign = "right";
    for (const tick of y.ticks) {
      const at = y.at(tick / y.metric.per_unit);
      line(MARGIN.left, at, width - MARGIN.right, at);
      context.fillText(tick.toLocaleString("en"), MARGIN.left - 6, at + 4);
    }
    const better = (metric, less, more) => (metric.more ? `better ${more}` : `${less} better`);
    context.textAlign = "right";
    context.fillText(`${x.metric.axis}   ${better(x.metric, "←", "→")}`, width - MARGIN.right, height - 8);
    context.textAlign = "left";
    context.fillText(`${y.metric.axis}   ${better(y.metric, "↓", "↑")}`, 4, 14);
  }

  // The part of the picture that a budget allows.
  drawLimits(context) {
    const { state, x, y, width, height } = this;
    const ends = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    const { left, right, top, bottom } = ends;
    context.fillStyle = colourOf(this.root, "shade");
    const clip = (at, low, high) => Math.min(high, Math.max(low, at));
    const limitX = state.limits[state.x],
      limitY = state.limits[state.y];
    if (limitX != null) {
      const at = clip(x.at(limitX), left, right);
      x.metric.more
        ? context.fillRect(left, top, at - left, bottom - top)
        : context.fillRect(at, top, right - at, bottom - top);
    }
    if (limitY != null) {
      const at = clip(y.at(limitY), top, bottom);
      y.metric.more
        ? context.fillRect(left, at, right - left, bottom - at)
        : context.fillRect(left, top, right - left, at - top);
    }
  }

  drawMarks(context) {
    const { view, state, x, y } = this,
      lines = { baseline: [] };
    for (const mark of view.marks) {
      const across = mark.values[state.x],
        up = mark.values[state.y];
      if (!(across > 0 && up > 0)) continue;
      const [cx, cy] = [x.at(across), y.at(up)];
      if (mark.role === "baseline") lines.baseline.push([cx, cy]);
      if (mark.role === "frontier" && mark.measured) {
        const from = [
          mark.promised[state.x] > 0 ? x.at(mark.promised[state.x]) : cx,
          mark.promised[state.y] > 0 ? y.at(mark.promised[state.y]) : cy,
        ];
        context.strokeStyle = colourOf(this.root, "measured");
        context.beginPath();
        context.moveTo(...from);
        context.lineTo(cx, cy);
        context.stroke();
      }
      context.fillStyle = colourOf(
        this.root,
        mark.role === "frontier" ? "measured" : mark.role === "baseline" ? "baseline" : "rival",
      );
      context.beginPath();
      if (mark.role === "baseline") context.rect(cx - 3.5, cy - 3.5, 7, 7);
      else if (mark.role === "frontier") context.arc(cx, cy, 4, 0, 7);
      else {
        context.moveTo(cx, cy - 5);
        context.lineTo(cx + 5, cy + 4);
        context.lineTo(cx - 5, cy + 4);
        context.closePath();
      }
      if (mark.role !== "frontier" || mark.measured) context.fill();
    }
    context.strokeStyle = colourOf(this.root, "baseline");
    context.setLineDash([4, 3]);
    context.beginPath();
    lines.baseline
      .sort((a, b) => a[1] - b[1])
      .forEach(([cx, cy], i) => (i ? context.lineTo(cx, cy) : context.moveTo(cx, cy)));
    context.stroke();
    context.setLineDash([]);
  }

  placeOfRow(row) {
    const mark = this.view.markOf.get(row),
      at = (name) => mark?.values[name] ?? this.view.columns[name][row];
    return [this.x.at(at(this.state.x)), this.y.at(at(this.state.y))];
  }

  ring(context, row, colour, radius) {
    const [cx, cy] = this.placeOfRow(row);
    context.strokeStyle = colourOf(this.root, colour);
    context.lineWidth = 2.5;
    context.beginPath();
    context.arc(cx, cy, radius, 0, 7);
    context.stroke();
    context.lineWidth = 1;
  }

  // The member nearest to the pointer, measured ones first.
  nearest(event) {
    const box = this.canvas.getBoundingClientRect(),
      at = [event.clientX - box.left, event.clientY - box.top];
    let best = null,
      least = 14;
    const offer = (row, cx, cy, bonus) => {
      const far = Math.hypot(cx - at[0], cy - at[1]) - bonus;
      if (far < least) {
        least = far;
        best = row;
      }
    };
    for (let dx = -1; dx <= 1; dx++)
      for (let dy = -1; dy <= 1; dy++) {
        for (const row of this.cells.get(((at[0] >> 4) + dx) * 4096 + (at[1] >> 4) + dy) ?? [])
          offer(row, this.px[row], this.py[row], 0);
      }
    for (const mark of this.view.marks) {
      const { [this.state.x]: across, [this.state.y]: up } = mark.values;
      if (across > 0 && up > 0) offer(mark.row, this.x.at(across), this.y.at(up), 4);
    }
    return best;
  }

  hover(event) {
    this.act.hover(this.nearest(event));
  }

  click(event) {
    const row = this.nearest(event);
    if (row == null || row >= this.view.n) return;
    event.shiftKey ? this.act.pin(row) : this.act.take(row);
    this.canvas.focus({ preventScroll: true });
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 50, PageDown: -50 }[event.key];
    if (step) this.act.walk(step);
    else if (event.key === "p" || event.key === "P") this.act.pin(this.state.chosen);
    else return;
    event.preventDefault();
  }

  showCard(row) {
    this.card.hidden = row == null;
    if (row == null) return;
    const [cx, cy] = this.placeOfRow(row),
      mark = this.view.marks.find((one) => one.row === row);
    const role = { baseline: this.view.baseline_name, lts: "LTS's evolution", rival: "tried beside" }[mark?.role] ?? "";
    this.card.replaceChildren(
      element("b", {}, idOf(this.view, row).slice(0, 8)),
      ` ${role}`,
      element("br"),
      inWords(this.view, row),
    );
    this.card.style.left = `${Math.min(cx + 12, Math.max(0, this.width - 250))}px`;
    this.card.style.top = `${cy + 14}px`;
  }
}
