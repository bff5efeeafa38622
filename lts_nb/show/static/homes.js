// Where the explorer lives: a page of its own, or a notebook's widget with limits and choice known on both sides.

async function openPage(root, head, text) {
  const key = `lts ${head.title}`,
    before = JSON.parse(sessionStorage.getItem(key) ?? "{}");
  const home = {
    tell: (what) =>
      sessionStorage.setItem(key, JSON.stringify({ ...JSON.parse(sessionStorage.getItem(key) ?? "{}"), ...what })),
  };
  const explorer = new FrontierExplorer(root, await decodeView(head, fromBase64(text)), home);
  if (before.limits) explorer.setLimits(before.limits);
  if (head.live) setTimeout(() => location.reload(), 1000 * head.live);
  Object.assign(window, { explorer, idOf, nextBetter, timesInWords, tradeOffs });
  return explorer;
}

async function render({ model, el }) {
  let telling = false;
  const home = {
    tell: (what) => {
      telling = true;
      for (const [name, value] of Object.entries(what)) model.set(name, value);
      model.save_changes();
      telling = false;
    },
    measure: (id) => model.send({ measure: id }),
  };
  const root = element("div");
  root.dataset.key = model.get("key");
  el.append(root);
  const bytes = () => new Uint8Array(model.get("data").buffer ?? model.get("data"));
  const explorer = new FrontierExplorer(root, await decodeView(model.get("head"), bytes()), home);
  const heard = (name, act) =>
    model.on(`change:${name}`, () => {
      if (!telling) act(model.get(name));
    });
  explorer.setLimits(model.get("limits"), false);
  heard("limits", (limits) => explorer.setLimits(limits, false));
  heard("chosen", (id) => {
    const row = explorer.view.rowOf.get(id.slice(0, 10));
    if (row != null && row !== explorer.state.chosen) explorer.take(row);
  });
  model.on("change:data", async () => {
    explorer.show(await decodeView(model.get("head"), bytes()));
    explorer.setLimits(explorer.state.limits, false);
  });
  model.on("msg:custom", ({ said }) => {
    explorer.said.textContent = said;
  });
  el.explorer = explorer;
  return () => explorer.sizes.disconnect();
}
