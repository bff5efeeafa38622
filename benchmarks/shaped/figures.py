"""Figures of the results: rise by size and rule, and what was predicted against what was found.

python benchmarks/shaped/figures.py
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator
from scipy.stats import spearmanr
from tables import DROPS, HERE, OURS, OWN, WORDS, of_rule, predictions, read_rows, rises

COLOURS = dict(zip(WORDS, ("k", *plt.get_cmap("tab10").colors)))


def draw_rule(ax, table, rule: str, repair: str, style: str, label: str | None):
    "The rises of a rule, with their standard errors; of random shapes the median, and from the least to the most."
    found = of_rule(table, rule, repair)
    if found.empty:
        return
    if rule == "random":
        grouped = found.groupby("goal").rise
        middle, low, high = grouped.median(), grouped.min(), grouped.max()
        share, errors = grouped.median().index.to_numpy(), np.array([middle - low, high - middle])
    else:
        share, middle, errors = found.share, found.rise, found.error
    width = 2.2 if rule == OWN else 1.2
    ax.errorbar(100 * share, middle, errors, c=COLOURS[rule], ls=style, lw=width, marker="o", ms=3, label=label)


def write_plainly(axis):
    "Mark 1, 2 and 5 of every power of ten on a logarithmic axis."
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


def draw_rises(ax, table):
    "Every rule by size: dashed as its authors have it, solid with our repair."
    for rule, words in WORDS.items():
        if rule in OURS:
            draw_rule(ax, table, rule, "", "-" if rule == OWN else ":", words)
            continue
        draw_rule(ax, table, rule, "plain", "--", words if rule in DROPS else None)
        if rule not in DROPS:
            draw_rule(ax, table, rule, "repaired", "-", words)
    ax.set(yscale="log", xlabel="decoder parameters [% of the parent]", ylabel="rise of the loss [nats]")
    ax.invert_xaxis()
    write_plainly(ax.yaxis)
    ax.grid(alpha=0.25)


def rises_figure(rows: list[dict]):
    "Both judged texts side by side."
    fig, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained", sharey=True)
    for ax, text, title in zip(axes, ("wikitext", "stdlib"), ("WikiText-2, test", "Python's standard library")):
        table = rises(rows, text)
        draw_rises(ax, table)
        n = len(table.windows.iloc[0])
        ax.set_title(f"{title}: {n} windows of 512 tokens", fontsize=10)
    axes[1].set_ylabel("")
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].legend(handles, labels, fontsize=8, title="dashed: nothing repaired", title_fontsize=8)
    return fig


def predictions_figure(rows: list[dict]):  # None if none of our shapes was judged
    "Predicted against true rises, with the band of 20 %."
    found = predictions(rises(rows))
    if found.empty:
        return None
    fig, ax = plt.subplots(figsize=(5.2, 4.4), layout="constrained")
    limits = np.array([found.judged.min() / 1.6, found.judged.max() * 1.6])
    ax.fill_between(limits, 0.8 * limits, 1.2 * limits, color="0.9", label="within 20 %")
    ax.plot(limits, limits, c="0.6", lw=1)
    predicted = (("sum_of_scores", "tab:orange", "sum of scores"), ("others", "k", "corrected by the others"))
    for name, colour, label in predicted:
        rank = spearmanr(found[name], found.judged).statistic
        ax.plot(found[name], found.judged, c=colour, ls="", marker="o", ms=4, label=f"{label}, ρ = {rank:.3f}")
    ax.set(xscale="log", yscale="log", xlabel="predicted rise [nats]", ylabel="true rise [nats]")
    write_plainly(ax.xaxis)
    write_plainly(ax.yaxis)
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8)
    return fig


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of results")
    options = parser.parse_args()
    rows = read_rows(options.out)
    for name, make in (("rises", rises_figure), ("predictions", predictions_figure)):
        if (figure := make(rows)) is not None:
            figure.savefig(options.out / f"{name}.png", dpi=110)
            print(f"{name}.png")


if __name__ == "__main__":
    main()
