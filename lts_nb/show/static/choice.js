// Which member a budget buys, and why: the rules of lts_nb.show.choose, on columns.

// A limit as a cost: what is better more than less counts negative, as everywhere in lts_nb.
function boundsOf(view, limits) {
  return Object.entries(limits)
    .filter(([name, value]) => value != null && view.columns[name])
    .map(([name, value]) => {
      const sign = view.metrics[name].more ? -1 : 1;
      return { name, sign, bound: sign * value };
    });
}

// By how much, relative to the limit broken worst; 0 or less: within the budget.
function excessOf(bounds, valueOf) {
  let worst = -Infinity;
  for (const { name, sign, bound } of bounds) {
    const over = (sign * valueOf(name) - bound) / Math.abs(bound);
    if (!(over <= worst)) worst = over;
  }
  return worst;
}

// What to have the best of, and what decides between equals: where only quality is limited, a view may be thrifty.
function aimsOf(view, bounds) {
  const thrifty = view.thrifty && bounds.every(({ name }) => name === view.quality);
  return thrifty ? [view.costs[0], view.quality] : [view.quality, view.first];
}

// The same for all members at once, which has to be quick: it is done at every move of a slider.
function excessOfAll(view, bounds) {
  const worst = new Float64Array(view.n).fill(-Infinity);
  for (const { name, sign, bound } of bounds) {
    const values = view.columns[name],
      size = Math.abs(bound);
    for (let i = 0; i < view.n; i++) {
      const over = (sign * values[i] - bound) / size;
      if (!(over <= worst[i])) worst[i] = over;
    }
  }
  return worst;
}

// Of the members within a budget the best; of equals the one with less of the first metric, then the first.
function chooseMember(view, limits) {
  const bounds = boundsOf(view, limits),
    over = excessOfAll(view, bounds);
  if (!bounds.length) return { row: view.knee, fits: true, over };
  const { columns, n } = view,
    [aim, other] = aimsOf(view, bounds);
  const sign = view.metrics[aim].more ? -1 : 1;
  const worth = columns[aim],
    second = columns[other];
  let row = -1,
    nearest = 0;
  for (let i = 0; i < n; i++) {
    if (over[i] < over[nearest]) nearest = i;
    if (!(over[i] <= 0)) continue;
    if (row < 0 || sign * worth[i] < sign * worth[row] || (worth[i] === worth[row] && second[i] < second[row])) row = i;
  }
  if (row < 0) return { row: nearest, fits: false, over };
  return { row: measuredAsGood(view, bounds, row) ?? row, fits: true, over };
}

// A measured member within the budget takes the place of one that cannot be told from it.
function measuredAsGood(view, bounds, row) {
  if (!view.resolution) return null;
  const sign = view.metrics[view.quality].more ? -1 : 1;
  let best = null;
  for (const mark of view.marks) {
    if (mark.role !== "frontier" || !mark.measured) continue;
    if (!(excessOf(bounds, (name) => mark.values[name] ?? NaN) <= 0)) continue;
    const value = sign * mark.values[view.quality],
      other = best && sign * best.values[view.quality];
    if (!best || value < other || (value === other && mark.values[view.first] < best.values[view.first])) best = mark;
  }
  const theirs = view.worth[row];
  return best && best.worth - theirs <= view.resolution * Math.abs(theirs) ? best.row : null;
}

// For each limit the member that keeps all others and comes nearest to this one.
function tradeOffs(view, limits) {
  const bounds = boundsOf(view, limits),
    found = bounds.map(() => ({ row: -1, over: Infinity }));
  for (let i = 0; i < view.n; i++) {
    const over = bounds.map(({ name, sign, bound }) => (sign * view.columns[name][i] - bound) / Math.abs(bound));
    const broken = over.filter((value) => value > 0).length;
    if (broken > 1) continue;
    over.forEach((value, k) => {
      const alone = broken === 0 || value > 0;
      if (alone && value < found[k].over) found[k] = { row: i, over: value };
    });
  }
  return found.map((one, k) => ({ name: bounds[k].name, ...one })).filter((one) => one.row >= 0);
}

// The better member that breaks a budget least, and which limits hold it back.
function nextBetter(view, limits, over, chosen) {
  const bounds = boundsOf(view, limits),
    worth = view.worth,
    ours = view.worthOf(chosen);
  let row = -1,
    least = Infinity;
  for (let i = 0; i < view.n && bounds.length; i++) {
    if (worth[i] < ours && over[i] > 0 && over[i] < least) {
      least = over[i];
      row = i;
    }
  }
  if (row < 0) return null;
  const broken = bounds.filter(({ name, sign, bound }) => sign * view.columns[name][row] > bound);
  return { row, excess: least, binding: broken.map(({ name }) => name) };
}
