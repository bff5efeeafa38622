// What Python packed: a head of plain values, and arrays that follow each other in one compressed block.

const KINDS = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u1: Uint8Array };

async function unzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function decodeView(head, bytes) {
  const buffer = await unzip(bytes),
    arrays = {};
  for (const { name, kind, offset, length } of head.arrays) arrays[name] = new KINDS[kind](buffer, offset, length);
  const view = { ...head, matrix: arrays.matrix, ids: arrays.ids, worth: arrays.worth, columns: {} };
  for (const name of Object.keys(head.metrics))
    if (arrays[`column ${name}`]) view.columns[name] = arrays[`column ${name}`];
  view.markOf = new Map(head.marks.filter((mark) => mark.role === "frontier").map((mark) => [mark.row, mark]));
  view.rowOf = new Map();
  for (let row = 0; row < head.rows; row++) view.rowOf.set(idOf(view, row), row);
  view.intervalOf = (row, name) => {
    const low = arrays[`low ${name}`],
      high = arrays[`high ${name}`];
    return low && row < low.length && low[row] > 0 ? [low[row], high[row]] : null;
  };
  view.partsOf = (row) => head.parts.map((name) => [name, arrays[`part ${name}`][row]]);
  // a member that was measured may not be among those that a run keeps
  view.worthOf = (row) => (row < view.n ? view.worth[row] : view.markOf.get(row)?.worth);
  view.walk = stairsOf(view);
  view.placeOf = placesOn(view.walk, view);
  return view;
}

// Members that none beats in quality and in the first cost, from the least quality to the best: where arrows walk.
function stairsOf(view) {
  const cost = view.columns[view.costs[0]],
    sign = view.metrics[view.costs[0]].more ? -1 : 1,
    stairs = [];
  const order = Array.from({ length: view.n }, (_, i) => i).sort(
    (a, b) => view.worth[a] - view.worth[b] || sign * (cost[a] - cost[b]),
  );
  let least = Infinity;
  for (const row of order)
    if (sign * cost[row] < least) {
      least = sign * cost[row];
      stairs.push(row);
    }
  return stairs.reverse();
}

// For every member the step of the stairs that is nearest to it in quality.
function placesOn(stairs, view) {
  const places = new Int32Array(view.rows).fill(-1),
    worth = stairs.map((row) => -view.worth[row]);
  for (let row = 0; row < view.rows; row++) {
    const ours = view.worthOf(row);
    if (ours == null) continue;
    let low = 0,
      high = worth.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      worth[middle] < -ours ? (low = middle + 1) : (high = middle);
    }
    places[row] = low;
  }
  return places;
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
