// Numbers and architectures as a person reads them.

function decimals(value, figures = 3) {
  if (!(value > 0) || !Number.isFinite(value)) return 0;
  return Math.max(0, figures - 1 - Math.floor(Math.log10(value)));
}

function plain(value, figures = 3) {
  if (value == null || Number.isNaN(value)) return "–";
  const shown = value.toFixed(Math.min(6, decimals(Math.abs(value), figures)));
  return Number(shown).toLocaleString("en", { maximumFractionDigits: 6 });
}

// As `times_in_words` and `off_in_words` of lts_nb.show.ratios.
const LARGE_NUMBERS = [
  [1e12, " trillion"],
  [1e9, " billion"],
  [1e6, " million"],
];

function timesInWords(factor) {
  const [size, word] = LARGE_NUMBERS.find(([size]) => factor >= size) ?? [1, ""];
  return `${plain(factor / size, 2)}${word} times`;
}

function offInWords(metric, ratio) {
  if (ratio > 2 && !metric.more) return `${timesInWords(ratio)} as much`;
  return `${plain(100 * Math.abs(ratio - 1), 2)} % off`;
}

function withUnit(metric, value, figures = 3) {
  return `${plain(value * metric.per_unit, figures)}${metric.unit ? ` ${metric.unit}` : ""}`;
}

function rangeOf(values) {
  const low = Math.min(...values),
    high = Math.max(...values);
  return low === high ? `${low}` : `${low}–${high}`;
}

// The layers of a row of the matrix: `SCALARS`, then a block of columns for each field of a layer.
function architectureOf(view, row) {
  const width = 5 + 4 * view.max_layer,
    at = row * width,
    depth = view.matrix[at];
  const block = (k) =>
    Array.from(view.matrix.subarray(at + 5 + k * view.max_layer, at + 5 + k * view.max_layer + depth));
  const [inner, heads, kv, share] = [0, 1, 2, 3].map(block);
  return {
    depth,
    d_model: view.matrix[at + 1],
    vocab: view.matrix[at + 2],
    d_embed: view.matrix[at + 3],
    inner,
    heads,
    kv,
    share,
  };
}

function idOf(view, row) {
  const bytes = view.ids.subarray(row * 5, row * 5 + 5);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A value of a row: as measured where it was, and what is known of its doubt.
function knownOf(view, row, name) {
  const mark = view.markOf.get(row),
    metric = view.metrics[name];
  const predicted = view.columns[name]?.[row];
  const measured = mark?.measured ? mark.values[name] : undefined;
  const timed = metric.source === "measured";
  if (measured != null && !Number.isNaN(measured))
    return { value: measured, measured: timed, error: mark.error[name], predicted };
  return { value: predicted, measured: false, promised: timed, interval: view.intervalOf(row, name), predicted };
}

function valueInWords(view, row, name) {
  const known = knownOf(view, row, name),
    metric = view.metrics[name];
  if (known.value == null) return "not known";
  const text = withUnit(metric, known.value);
  if (known.measured) return known.error ? `${text} ± ${plain(known.value * known.error * metric.per_unit, 2)}` : text;
  if (!known.promised) return text;
  const ends = known.interval && known.interval.map((end) => plain(end * metric.per_unit, 2)).join("–");
  return `${text} predicted${ends ? `, ${ends}` : ""}; not measured yet`;
}

function inWords(view, row) {
  const a = architectureOf(view, row),
    heads = a.heads.filter((n) => n),
    without = a.heads.length - heads.length;
  const mixers =
    `heads ${heads.length ? rangeOf(heads) : 0}` + (without ? `, ${without} of the layers ${view.without_heads}` : "");
  const values = view.shown.map((name) => `${view.metrics[name].label} ${valueInWords(view, row, name)}`);
  return `${a.depth} layers of width ${a.d_model}, feed-forward ${rangeOf(a.inner)}, ${mixers}: ${values.join("; ")}`;
}
