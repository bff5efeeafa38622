// Parallel coordinates: one axis a metric, a line a member; dragging on an axis moves the limit of that metric.

const MOST_LINES = 1000;

class Parallel {
  constructor(root, view, state, act) {
    Object.assign(this, { root, view, state, act });
    this.canvas = element("canvas", {
      class: "lts-canvas",
      role: "img",
      "aria-label": "Parallel coordinates; drag along an axis to set its limit",
      onpointerdown: (event) => this.grab(event),
      onpointermove: (event) => this.drag(event),
      onpointerup: () => {
        this.held = null;
      },
      ondblclick: (event) => this.loosen(event),
    });
    this.node = element("div", { class: "lts-parallel" }, this.canvas);
    // lines of the same ends look alike: a thousand of them say all
    this.rows = view.walk.filter((_, i) => i % Math.ceil(view.walk.length / MOST_LINES) === 0);
  }

  place() {
    const { view } = this,
      names = view.limited,
      width = Math.max(this.node.clientWidth, 260),
      height = 190;
    Object.assign(this, { width, height });
    this.axes = names.map((name, k) => {
      const ends = view.metrics[name].more ? [height - 24, 34] : [34, height - 24];
      const at = 50 + (names.length > 1 ? (k * (width - 100)) / (names.length - 1) : 0);
      return { name, across: at, ...axisOf(view.metrics[name], [view.columns[name]], ends) };
    });
  }

  draw() {
    const { view, state, width, height } = this,
      context = sizedCanvas(this.canvas, width, height);
    const line = (row) => {
      context.beginPath();
      this.axes.forEach((axis, k) =>
        context[k ? "lineTo" : "moveTo"](axis.across, axis.at(view.columns[axis.name][row])),
      );
      context.stroke();
    };
    context.globalAlpha = Math.max(0.05, Math.min(0.6, 120 / this.rows.length));
    for (const [inside, colour] of [
      [0, "faint"],
      [1, "member"],
    ]) {
      context.strokeStyle = colourOf(this.root, colour);
      for (const row of this.rows) if (state.fits[row] === inside) line(row);
    }
    context.globalAlpha = 1;
    context.lineWidth = 2.5;
    for (const [row, colour] of [...state.pinned.map((row) => [row, "pinned"]), [state.chosen, "chosen"]]) {
      if (row == null || row < 0 || row >= view.n) continue;
      context.strokeStyle = colourOf(this.root, colour);
      line(row);
    }
    context.lineWidth = 1;
    this.axes.forEach((axis) => this.drawAxis(context, axis));
  }

  drawAxis(context, axis) {
    const { state, height } = this,
      low = Math.min(axis.from, axis.to),
      high = Math.max(axis.from, axis.to);
    context.font = `12px ${getComputedStyle(this.root).fontFamily}`;
    context.strokeStyle = context.fillStyle = colourOf(this.root, "text");
    context.beginPath();
    context.moveTo(axis.across, low);
    context.lineTo(axis.across, high);
    context.stroke();
    context.textAlign = "center";
    context.fillText(axis.metric.short, axis.across, 14);
    context.fillText(axis.metric.unit ? `[${axis.metric.unit}]` : "", axis.across, 28);
    const worst = axis.metric.more ? axis.low : axis.high;
    context.fillText(plain(worst * axis.metric.per_unit, 2), axis.across, height - 6);
    const limit = state.limits[axis.name];
    if (limit == null) return;
    const at = axis.at(Math.min(axis.high, Math.max(axis.low, limit)));
    context.fillStyle = colourOf(this.root, "shade");
    context.fillRect(axis.across - 9, at, 18, high - at);
    context.fillStyle = colourOf(this.root, "chosen");
    context.fillRect(axis.across - 11, at - 2, 22, 4);
  }

  axisAt(event) {
    const box = this.canvas.getBoundingClientRect(),
      at = event.clientX - box.left;
    return this.axes.find((axis) => Math.abs(axis.across - at) < 24);
  }

  grab(event) {
    this.held = this.axisAt(event);
    if (!this.held) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drag(event);
  }

  drag(event) {
    this.canvas.style.cursor = this.axisAt(event) ? "ns-resize" : "";
    if (!this.held) return;
    const { from, to, value, name } = this.held,
      at = event.clientY - this.canvas.getBoundingClientRect().top;
    this.act.limit(name, value(Math.min(Math.max(from, to), Math.max(Math.min(from, to), at))));
  }

  loosen(event) {
    const axis = this.axisAt(event);
    if (axis) this.act.limit(axis.name, null);
  }
}
