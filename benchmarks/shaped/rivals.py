"""Rivals of exact shapes, judged on the same windows; call it again to continue where it stopped.

    python benchmarks/shaped/rivals.py rivals              # uniform, layers dropped, FLAP, random: rivals.jsonl
    python benchmarks/shaped/rivals.py bits                # the parent at fewer bits
    python benchmarks/shaped/rivals.py members FOLDER      # members of a folder that `lts shape` wrote
    python benchmarks/shaped/rivals.py ours                # those that were judged before, fitted anew, at fewer bits
    python benchmarks/shaped/rivals.py text                # what was fitted, fitted on more text: more_text.jsonl

Each rule's shape is judged plainly (units removed, nothing repaired) and with our least-squares repair, so that the
allocation alone is compared; a rule that drops whole layers leaves nothing to repair. `--fitted` judges them a third
time with all ends fitted one after the other, as our own members may be. Every line of a file is one shape by one rule
on one text, with the loss of every window. On one core a line takes about half a minute, and a fit on 384 windows half
an hour.
"""

import functools
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from allocations import RULES, Allocation, allocations, losses_of, shape_of, share_of
from bits import FORMATS, rounded
from common import GOALS, WINDOW, Bench, arguments, corpus_of, keeping_fits
from tables import OURS

from lts_nb.core.errors import InputError
from lts_nb.core.files import read_json, read_text
from lts_nb.models.cut import HALVES, cut
from lts_nb.models.shape import Shape
from lts_nb.shaping import repaired
from lts_nb.shaping.moments import sample_windows
from lts_nb.shaping.reduction import reduced
from lts_nb.shaping.repaired import Repairs
from lts_nb.space.counts import count
from lts_nb.training.corpus import Corpus

FILE = "rivals.jsonl"
MORE_TEXT = "more_text.jsonl"


def key_of(row: dict) -> tuple:
    "What tells lines apart."
    names = ("rule", "goal", "seed", "id", "bits", "repair", "tokens", "windows", "text")
    return tuple(row.get(name) for name in names)


def judge(bench: Bench, about: dict, make, file: str = FILE):
    "Judge the model that `make` makes on every text on which it was not, and file the losses."
    known, model = {key_of(row) for row in bench.rows(file)}, None
    for text, windows in bench.texts.judged.items():
        if key_of(about | dict(text=text)) in known:
            continue
        if model is None:
            model, more = make()
        began = time.perf_counter()
        losses = losses_of(model, windows)
        row = about | more | dict(text=text, losses=losses, seconds=round(time.perf_counter() - began, 1))
        bench.file(file, row)
        name = " ".join(str(value) for value in key_of(row) if value is not None)
        print(f"{name}: {sum(losses) / len(losses):.4f} nats, {row['seconds']} s", flush=True)


def outputs_of(bench: Bench, shape: Shape) -> dict:  # (layer, half) -> matrix
    "The matrices of ends that lost columns, each repaired for itself."
    found = {}
    for layer, kept in shape.stays:
        for half, units in zip(HALVES, (kept.groups, kept.neurons)):
            end, order = bench.ends[layer, half], list(units)
            if units and len(units) < end.n_units:
                gone = sorted(set(range(end.n_units)) - set(units))
                found[layer, half] = reduced(end, bench.moments.of((layer, half)), gone + order, len(units)).matrix
    return found


def model_of(bench: Bench, allocation: Allocation, repair: str) -> tuple:  # model; what else to file
    "The parent in a shape: units are chosen as the rule's authors do, or as ours are where they are repaired."
    shape = shape_of(bench, allocation.layers, allocation.order if repair == "plain" else "surgeon")
    outputs = None if repair == "plain" else outputs_of(bench, shape)
    if repair == "fitted":
        outputs, _ = keeping_fits(bench.cache)(bench.parent, shape, bench.texts.calibration, outputs)
    return cut(bench.parent, shape, outputs), {}


def judge_rivals(bench: Bench, goals: list[float], rules: list[str], fitted: bool = False):
    "All rules at all sizes."
    for goal in goals:
        for allocation in allocations(bench, goal, rules):
            drops = all(layer == (0, 0) or layer == most for layer, most in zip(allocation.layers, whole(bench)))
            repairs = ["plain", *([] if drops else ["repaired"]), *(["fitted"] if fitted else [])]
            for repair in repairs:
                about = dict(rule=allocation.rule, goal=goal, seed=allocation.seed, repair=repair)
                about |= dict(share=share_of(bench.parent, allocation.layers), layers=allocation.layers)
                judge(bench, about, lambda: model_of(bench, allocation, repair))


def whole(bench: Bench) -> list:
    "What the parent has in every layer."
    return [(bench.ends[i, "attention"].n_units, n) for i, n in enumerate(bench.parent.architecture.d_inner)]


def judge_parent(bench: Bench):
    "The parent itself."
    decoder = count(bench.parent.architecture).decoder
    about = dict(rule="parent", goal=1.0, share=1.0, repair="plain", decoder_params=decoder)
    judge(bench, about, lambda: (bench.parent.model, {}))


def judge_bits(bench: Bench, formats: list[str]):
    "The parent's decoder at fewer bits."
    for kind in formats:

        def make(kind=kind):
            model, n_bytes = rounded(bench.parent.model, kind)
            return model, dict(decoder_bytes=n_bytes)

        judge(bench, dict(rule="bits", goal=1.0, share=1.0, repair="plain", bits=kind), make)


def members_in(folder: Path):  # yields (`Shape`, what to file)
    "Members of a shaped folder, the largest first."
    for _, row in pd.read_csv(folder / "members.csv").sort_values("share", ascending=False).iterrows():
        member = json.loads((folder / "members" / f"{row.id}.json").read_text(encoding="utf-8"))
        shape = Shape.from_json(member["shape"])
        about = dict(rule="exact", id=row.id, share=float(row.share), layers=layers_in(shape))
        about |= dict(repair="fitted" if member["fitted"] else "repaired")
        promised = {name: float(row[name]) for name in ("sum_of_scores", "with_pairs", "predicted_rise")}
        yield shape, about | promised | dict(judged=float(row.rise))


def judge_members(bench: Bench, folder: Path, formats: list[str]):
    "Members of a shaped folder, as they are and at fewer bits."
    repaired.refit = keeping_fits(bench.cache)  # where `shape.py` left them
    repairs = functools.cache(lambda: repairs_of(bench, folder))
    for shape, about in members_in(folder):
        model = functools.cache(lambda shape=shape, about=about: repairs().model(shape, about["repair"] == "fitted"))
        for kind in (None, *formats):
            judge(bench, about | (dict(bits=kind) if kind else {}), lambda: rounded_or_not(model(), kind))


def judge_ours(bench: Bench, formats: list[str]):
    "Fitted shapes of ours that were judged before, at fewer bits."
    ours = [row for row in bench.rows(FILE) if row["rule"] in OURS and "bits" not in row]
    for row in (row for row in ours if row["text"] == "wikitext"):
        shape = Allocation(row["rule"], row["share"], [tuple(layer) for layer in row["layers"]])
        model = functools.cache(lambda shape=shape: model_of(bench, shape, "fitted")[0])
        about = {name: row[name] for name in ("rule", "id", "share", "layers", "repair")}
        for kind in formats:
            judge(bench, about | dict(bits=kind), lambda: rounded_or_not(model(), kind))


def judge_more_text(bench: Bench, corpus: Corpus, goals: list[float], rules: list[str], n: int):
    "Shapes that were judged fitted, their ends fitted on more windows; those on which shapes were scored are left out."
    found = sample_windows(corpus.train, bench.parent.tokenizer, WINDOW, n)
    scored = {tuple(window.tolist()) for window in bench.texts.scored}
    windows = found[[i for i, window in enumerate(found) if tuple(window.tolist()) not in scored]]
    fitted = [row for row in bench.rows(FILE) if row["repair"] == "fitted" and "bits" not in row]
    for row in (row for row in fitted if row["text"] == "wikitext" and row["rule"] in rules):
        if not any(abs(row["share"] - goal) < 0.005 for goal in goals):
            continue

        def make(row=row):
            shape = shape_of(bench, [tuple(layer) for layer in row["layers"]], "surgeon")
            ends = keeping_fits(bench.cache)(bench.parent, shape, windows, outputs_of(bench, shape))
            return cut(bench.parent, shape, *ends), {}

        about = {name: row[name] for name in ("rule", "goal", "seed", "id", "share", "layers", "repair") if name in row}
        judge(bench, about | dict(windows=len(windows)), make, MORE_TEXT)


def rounded_or_not(model, kind: str | None) -> tuple:
    "A model at fewer bits, if bits are named."
    if kind is None:
        return model, {}
    found, n_bytes = rounded(model, kind)
    return found, dict(decoder_bytes=n_bytes)


def layers_in(shape: Shape) -> list:
    "How many units stay in each layer."
    return [(len(kept.groups), len(kept.neurons)) if kept else (0, 0) for kept in shape.layers]


def repairs_of(bench: Bench, folder: Path) -> Repairs:
    "What repairs members as they were repaired when they were judged in their folder."
    about = read_json(read_text("folder", folder / "shaped.json"), "shaped", 1)
    if json.loads(bench.parent.architecture.to_json()) != about["architecture"]:
        raise InputError(f"folder={folder.name!r}: was shaped from a parent of another architecture")
    return Repairs(bench.parent, torch.from_numpy(np.load(folder / "calibration.npy", allow_pickle=False)))


def main():
    parser = arguments(__doc__)
    parser.add_argument("step", choices=("rivals", "bits", "members", "ours", "text"))
    parser.add_argument("folder", nargs="?", type=Path, help="that `lts shape` wrote, for members")
    parser.add_argument("--goals", nargs="+", type=float, default=GOALS, help="shares of decoder parameters")
    parser.add_argument("--rules", nargs="+", choices=[*RULES, *OURS], default=list(RULES))
    parser.add_argument("--windows", type=int, default=384, help="of 512 tokens, for text")
    parser.add_argument("--formats", nargs="*", default=FORMATS, help="bits of the parent, or of members")
    parser.add_argument("--fitted", action="store_true", help="fit all ends one after the other, too")
    options = parser.parse_args()
    if options.step == "rivals" and not set(options.rules) <= set(RULES):
        parser.error("--rules: shapes of ours are judged by members, ours and text")
    bench = Bench.open(options)
    judge_parent(bench)
    if options.step == "rivals":
        judge_rivals(bench, options.goals, options.rules, options.fitted)
    elif options.step == "bits":
        judge_bits(bench, options.formats)
    elif options.step == "ours":
        judge_ours(bench, options.formats)
    elif options.step == "text":
        corpus = corpus_of(options.read, options.data)
        judge_more_text(bench, corpus, options.goals, options.rules, options.windows)
    else:
        judge_members(bench, options.folder, options.formats)


if __name__ == "__main__":
    main()
