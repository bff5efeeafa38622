"""What the results say: rises of the loss, who wins at which size, what bits and milliseconds buy."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from lts_nb.shaping.verification import from_the_others, rise_of

HERE = Path(__file__).parent
OWN = "exact"  # the rule whose shapes are ours
OURS = (OWN, "alone")  # and those by scores that were not drawn towards those of other layers
WORDS = dict(
    exact="exact shapes",
    alone="exact, each score alone",
    uniform="uniform narrowing",
    flap="FLAP's allocation",
    influence="layers by influence",
    loss="layers by loss",
    greedy="layers by loss, greedily",
    random="random",
)
DROPS = ("influence", "loss", "greedy")  # whole layers, which leaves nothing to repair
FIRST_TRY = {0.95: 0.115, 0.9: 0.152, 0.8: 0.415, 0.7: 0.731}  # nats, on the windows called "first"
PROMISED = ("sum_of_scores", "with_pairs", "predicted_rise", "judged")  # of our shapes, and what was found in their run
COLUMNS = ["rule", "goal", "seed", "id", "bits", "repair", "tokens", "share", "decoder_bytes", *PROMISED]
FOUND = ["rise", "error", "windows"]
SURE = 2.0  # standard errors beyond which a difference is no chance


def read_rows(out: Path = HERE / "results", name: str = "rivals.jsonl") -> list[dict]:
    "Every line of a file of results, whole ones only; none if there is no file."
    path = out / name
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def rises(rows: list[dict], text: str = "wikitext", n_windows: int | None = None) -> pd.DataFrame:
    "How much more loss each shape has than the parent on a text, with its standard error."
    rows = [row for row in rows if row["text"] == text]
    losses = {id(row): np.array(row["losses"][:n_windows]) for row in rows}
    parent = next(losses[id(row)] for row in rows if row["rule"] == "parent")
    found = []
    for row in rows:
        rise = rise_of(losses[id(row)], parent)
        found.append(row | dict(rise=rise.mean, error=rise.error, windows=losses[id(row)]))
    table = pd.DataFrame(found).reindex(columns=COLUMNS + FOUND)
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def of_rule(table: pd.DataFrame, rule: str, repair: str | None = None) -> pd.DataFrame:
    "Shapes of a rule in full precision; of our own, each as it was repaired."
    found = table[(table.rule == rule) & table.bits.isna()]
    if rule in OURS or repair is None:
        return found
    drops = repair != "plain" and rule in DROPS
    return found[found.repair == ("plain" if drops else repair)]


def at_size(table: pd.DataFrame, rule: str, goal: float, repair: str) -> pd.DataFrame:
    "A rule's shapes of a size: several for random ones, and of ours the largest that has no more parameters."
    found = of_rule(table, rule, repair)
    if rule in OURS:
        return found[found.share <= goal + 0.005].head(1)
    return found[np.isclose(found.goal.astype(float), goal)]


def by_size(table: pd.DataFrame, repair: str, goals: list[float]) -> pd.DataFrame:
    "The rise by rule and size, as text; for random shapes the median and the least."
    rows = {}
    for rule, words in WORDS.items():
        cells = {f"{goal:.0%}": in_words(at_size(table, rule, goal, repair), goal) for goal in goals}
        if any(cells.values()):
            rows[words] = cells
    return pd.DataFrame(rows).T


def in_words(shapes: pd.DataFrame, goal: float) -> str:  # empty if there are none
    "The rise of one shape, or of several."
    if len(shapes) > 1:
        return f"{shapes.rise.median():.3f} (least {shapes.rise.min():.3f})"
    if len(shapes) == 0:
        return ""
    row = shapes.iloc[0]
    away = f" at {row.share:.1%}" if abs(row.share - goal) > 0.003 else ""
    return f"{row.rise:.3f} ± {row.error:.3f}{away}"


def verdict(own: pd.Series, other: pd.Series) -> dict:
    "Compare two shapes window by window."
    difference = rise_of(other.windows, own.windows)
    if abs(difference.mean) <= SURE * difference.error:
        winner = "neither, beyond noise"
    else:
        winner = "ours wins" if difference.mean > 0 else "the rival wins"
    return dict(difference=difference.mean, error=difference.error, winner=winner)


def verdicts(table: pd.DataFrame, goals: list[float]) -> pd.DataFrame:
    "Our shape of each size against the best shape of every rule, plain or repaired, whatever is best."
    rows = []
    for goal in goals:
        own = at_size(table, OWN, goal, "")
        for rule in WORDS:
            others = pd.concat([at_size(table, rule, goal, repair) for repair in ("plain", "repaired", "fitted")])
            if rule in OURS or own.empty or others.empty:
                continue
            best = others.sort_values("rise").iloc[0]
            about = dict(size=f"{goal:.0%}", rival=WORDS[rule], repair=best.repair, own=own.iloc[0].rise)
            rows.append(about | dict(rivals=best.rise) | verdict(own.iloc[0], best))
    return pd.DataFrame(rows)


def leaders(table: pd.DataFrame, goals: list[float]) -> pd.DataFrame:
    "At every size, which rule has the least rise, ours among them."
    rows = []
    for goal in goals:
        found = [at_size(table, rule, goal, repair) for rule in WORDS for repair in ("plain", "repaired", "fitted")]
        found = [shapes for shapes in found if len(shapes)]
        if found:
            best = pd.concat(found).sort_values("rise").iloc[0]
            rows.append({"size": f"{goal:.0%}", "least rise": best.rise, "± ": best.error, "by": WORDS[best.rule]})
    return pd.DataFrame(rows)


def against_first_try(rows: list[dict]) -> pd.DataFrame:
    "Our rises on the windows of the first try, and how they compare with it."
    table, found = rises(rows, "first"), []
    for goal, before in FIRST_TRY.items():
        own = at_size(table, OWN, goal, "")
        if len(own):
            now = own.iloc[0].rise
            found.append({"size": f"{goal:.0%}", "first try": before, "now": now, "now / then": now / before})
    return pd.DataFrame(found)


def predictions(table: pd.DataFrame) -> pd.DataFrame:
    "What sums of scores promised of our shapes, each corrected by the others, and what the windows of the run say."
    own = of_rule(table, OWN).dropna(subset="with_pairs")
    if len(own) < 4:
        return own.iloc[:0].assign(others=[], off=[])
    predicted = from_the_others(own.with_pairs.to_numpy(), own.judged.to_numpy())
    found = own[["id", "share", "sum_of_scores", "with_pairs"]].assign(others=predicted, judged=own.judged)
    return found.assign(off=found.others / found.judged - 1)


def healed(before: pd.DataFrame, after: pd.DataFrame, goal: float) -> pd.DataFrame:
    "Rises of fitted shapes of a size, and when they were healed; how much more rivals lose than ours, by window."
    rows, taken = [], after[after.goal == goal]
    for (tokens, rule), runs in taken[taken.tokens.notna()].groupby(["tokens", "rule"], sort=False):
        fitted = at_size(before, rule, goal, "fitted").iloc[0]
        own = taken[taken.rule.isin(OURS) & (taken.tokens == tokens) & taken.seed.isin(runs.seed)]
        paired = (dict(windows=np.mean(list(each.windows), 0)) for each in (own, runs[runs.seed.isin(own.seed)]))
        found = verdict(*map(pd.Series, paired))
        about = {"tokens": int(tokens), "rule": WORDS[rule], "seeds": len(runs), "before": fitted.rise}
        about |= {"after": runs.rise.mean(), "between seeds": runs.rise.std()}
        rows.append(about | {"loses more by": found["difference"], "±": found["error"]})
    return pd.DataFrame(rows)


def in_bytes(table: pd.DataFrame) -> pd.DataFrame:
    "Bytes of decoder weights against the rise: the parent and our shapes at fewer bits."
    found = table[table.bits.notna()].sort_values("decoder_bytes", ascending=False)
    return found[["rule", "id", "bits", "share", "decoder_bytes", "rise", "error", "windows"]]


def read_latency(out: Path = HERE / "results") -> dict | None:  # None if nothing was timed
    "What latency.py wrote."
    path = out / "latency.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def timed_rises(table: pd.DataFrame, latency: dict, repair: str = "repaired") -> pd.DataFrame:
    "Speed-up in each engine beside the rise, shape by shape; the parent is 1 and 0."
    rows = []
    for rule in ("parent", *WORDS):
        for _, row in of_rule(table, rule, "plain" if rule == "parent" else repair).iterrows():
            name = "parent" if rule == "parent" else name_of(row)
            for engine, models in latency["engines"].items():
                if name in models:
                    times = {time: models[name][time]["faster"] for time in models[name]}
                    errors = {f"{time} error": models[name][time]["error"] for time in models[name]}
                    about = dict(rule=rule, name=name, engine=engine, share=row.share, rise=row.rise)
                    rows.append(about | times | errors)
    return pd.DataFrame(rows)


def what_goes(timed: pd.DataFrame) -> np.ndarray:
    "In words, for each shape."
    return np.where(timed.rule.isin(DROPS), "whole layers", "narrower layers")


def savings(timed: pd.DataFrame, time: str) -> pd.DataFrame:
    """The share of a request's time that goes with a share of the parameters, by engine and by how they go.

    Least squares through the parent, weighted by errors; `misfit` is chi-square by degree of freedom, about 1 where
    nothing but noise lies between the line and what was timed.
    """
    rows = []
    for engine, found in timed[timed.rule != "parent"].groupby("engine", sort=False):
        for words, shapes in found.groupby(what_goes(found)):
            gone, saved = 1 - shapes.share, 1 - 1 / shapes[time]
            weight = (shapes[time] / shapes[f"{time} error"]) ** 2
            slope, error = (weight * gone * saved).sum() / (weight * gone**2).sum(), (weight * gone**2).sum() ** -0.5
            misfit = (weight * (saved - slope * gone) ** 2).sum() / max(len(shapes) - 1, 1)
            rows.append((engine, words, len(shapes), slope, error, misfit))
    return pd.DataFrame(rows, columns=["engine", "what goes", "shapes", "saved by share", "±", "misfit"])


def on_the_line(timed: pd.DataFrame, time: str) -> pd.DataFrame:
    "What was timed, each shape as fast as all of its kind say together."
    slopes = savings(timed, time).set_index(["engine", "what goes"])["saved by share"]
    slope = slopes.reindex(pd.MultiIndex.from_arrays([timed.engine, what_goes(timed)])).to_numpy()
    return timed.assign(**{time: 1 / (1 - slope * (1 - timed.share))})


def name_of(row: pd.Series) -> str:
    "As latency.py calls a shape."
    return f"{row.rule} {row.id[:8]}" if isinstance(row.id, str) else f"{row.rule} {row.goal:.0%}"


def curve(timed: pd.DataFrame, rule: str, engine: str, time: str) -> tuple[np.ndarray, np.ndarray]:
    "Speed-ups and rises of a rule in an engine from the parent on; the best rise of all that are at least as fast."
    found = timed[(timed.engine == engine) & timed.rule.isin([rule, "parent"])].sort_values(time)
    least = np.minimum.accumulate(found.rise.to_numpy()[::-1])[::-1]
    return found[time].to_numpy(), least


def speedups(timed: pd.DataFrame, time: str, more: tuple = (0.05, 0.1)) -> pd.DataFrame:
    "How many times as fast a shape is that has so much more perplexity, by engine and rule, between its neighbours."
    rows = {}
    for rule in (rule for rule in WORDS if rule in set(timed.rule)):
        for engine in timed.engine.unique():
            faster, rise = curve(timed, rule, engine, time)
            for share in more:
                if rise.max() >= np.log1p(share):
                    cell = float(np.interp(np.log1p(share), rise, faster))
                    rows.setdefault(WORDS[rule], {})[f"{engine}, +{share:.0%}"] = cell
    return pd.DataFrame(rows).T


def equal_latency(timed: pd.DataFrame, time: str) -> pd.DataFrame:
    "Each of our shapes in each engine, and the rise that every rule has at the same speed, between its neighbours."
    rows = []
    own = timed[timed.rule.isin(OURS)]
    if own.empty:
        return pd.DataFrame()
    for _, row in own.iterrows():
        found = dict(engine=row.engine, shape=row["name"], faster=row[time], ours=row.rise)
        for rule in (rule for rule in WORDS if rule not in OURS and rule in set(timed.rule)):
            faster, rise = curve(timed, rule, row.engine, time)
            inside = row[time] <= faster[-1]
            found[WORDS[rule]] = float(np.interp(row[time], faster, rise)) if inside else np.nan
        rows.append(found)
    return pd.DataFrame(rows)


def say_verdicts(table: pd.DataFrame, goals: list[float]) -> list[str]:
    "A sentence for every size: against whichever rival is best there, by how much, and whether that is beyond noise."
    said, found = [], verdicts(table, goals)
    for size in [] if found.empty else found["size"].unique():
        each = found[found["size"] == size]
        best = each.loc[each.rivals.idxmin()]
        by = f"{best.difference:+.3f} ± {best.error:.3f} nats"
        said.append(
            f"{size}: ours {best.own:.3f}, the best rival {best.rivals:.3f} ({best.rival}, {best.repair}); "
            f"the rival has {by} more: {best.winner}; ours beats {sum(each.winner == 'ours wins')} of {len(each)} rules"
        )
    return said or ["no exact shape was judged yet"]


ENGINE_BITS = {"llama-cpp-q8_0": "Q8_0", "llama-cpp-q4_0": "Q4_0"}


def bits_and_speed(table: pd.DataFrame, latency: dict) -> pd.DataFrame:
    "In llama.cpp, bits and shape together: what each takes and what it costs; the fastest writer last."
    rows = []
    for engine, bits in ENGINE_BITS.items():
        for _, row in table[table.bits == bits].iterrows():
            name = name_of(row) if row.rule == OWN else "parent"
            if times := latency["engines"].get(engine, {}).get(name):
                found = {f"{time} [ms]": 1e3 * times[f"{time}_s"]["seconds"] for time in ("prefill", "decode")}
                rows.append(found | dict(model=f"{row.share:.0%} in {bits}", rise=row.rise, error=row.error))
    found = pd.DataFrame(rows, columns=["model", "prefill [ms]", "decode [ms]", "rise", "error"])
    return found.sort_values("decode [ms]", ascending=False, ignore_index=True)
