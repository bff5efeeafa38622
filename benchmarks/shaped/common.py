"""What the benchmarks of shaping have in common: the parent, texts that never meet, moments, and files of results."""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lts_nb.core.errors import InputError
from lts_nb.core.files import replace_file, replace_text
from lts_nb.models.parent import Parent
from lts_nb.models.shape import Shape
from lts_nb.profiler.machine import describe_machine
from lts_nb.shaping.blocks import ends_of, layer_inputs
from lts_nb.shaping.moments import Moments, measure_moments, sample_windows, windows_of
from lts_nb.shaping.parents import read_parent
from lts_nb.shaping.real_parent import find_real_parent
from lts_nb.shaping.reduction import removal_order
from lts_nb.shaping.refit import refit
from lts_nb.shaping.repaired import read_ends, write_ends
from lts_nb.shaping.settings import ShapeSettings, texts_of
from lts_nb.training.corpus import Corpus, get_corpus

HERE = Path(__file__).parent
WINDOW = 512  # tokens
N_JUDGED = dict(wikitext=32, first=8)  # windows; "first" are those of the first try, one after the other
N_STDLIB = dict(mixture=16, wikitext=8)  # windows of it that judge, by what is read
N_CALIBRATION = dict(mixture=96, wikitext=64)  # windows
PIECE = 20_000  # characters of one text that follow each other in the mixture
N_DROPS = 4  # of the scored windows: on them layers are dropped by loss
GOALS = (0.95, 0.9, 0.8, 0.7, 0.6)  # of the parent's decoder parameters


def arguments(description: str) -> argparse.ArgumentParser:
    "What every script takes."
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parent", help="SmolLM2-135M that `make parent` fetched, by default")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with wikitext-2-*.txt")
    parser.add_argument("--read", choices=tuple(N_CALIBRATION), default="mixture", help="text that shapes and repairs")
    parser.add_argument("--out", type=Path, help="folder of results; results, or results_mixture, by default")
    parser.add_argument("--cache", type=Path, default=HERE / "cache", help="folder for 650 MB of moments")
    return parser


def open_parent(place: str | None) -> Parent:
    "The parent of this benchmark."
    place = place or find_real_parent()
    if place is None:
        raise InputError("parent: is not on this machine; fetch it with `make parent`, or name one with --parent")
    return read_parent(place)


def wikitext(data: Path) -> tuple[str, str]:
    "WikiText-2: its validation text to read, its test text to judge with."
    return tuple((data / f"wikitext-2-{part}.txt").read_text(encoding="utf-8") for part in ("valid", "test"))


def pieces(texts) -> list[str]:
    "One text after the other, cut into pieces."
    whole = "\n".join(texts)
    return [whole[at : at + PIECE] for at in range(0, len(whole), PIECE)]


def settings_of(read: str) -> ShapeSettings:
    "How the parent is shaped, by what is read."
    return ShapeSettings(window=WINDOW, n_calibration=N_CALIBRATION[read], n_judged=N_JUDGED["wikitext"])


def alternating(*texts: list[str]) -> tuple:
    "Pieces of each text in turn, as long as all have some."
    return tuple(piece for turn in zip(*map(pieces, texts)) for piece in turn)


def corpus_of(read: str, data: Path) -> Corpus:
    "WikiText-2 alone, or English and Python in equal parts: what is read, and what is held out."
    valid, test = wikitext(data)
    if read == "wikitext":
        return Corpus("WikiText-2", (valid,), (test,), hashlib.sha256((valid + test).encode()).hexdigest())
    code = get_corpus("stdlib")
    read, judged = alternating([valid], code.train), alternating([test], code.valid)
    known = hashlib.sha256("".join(read + judged).encode()).hexdigest()
    return Corpus("WikiText-2 and Python's standard library", read, judged, known)


def digest(*parts: torch.Tensor) -> str:  # 16 hexadecimal digits
    "What stands for some tensors."
    found = hashlib.sha256()
    for part in parts:
        found.update(np.ascontiguousarray(part.numpy()).tobytes())
    return found.hexdigest()[:16]


@dataclass
class Texts:
    "Windows for each purpose; no two purposes share a token."

    judged: dict  # name -> `(n, WINDOW)`
    calibration: torch.Tensor
    scored: torch.Tensor

    @classmethod
    def read(cls, read: str, data: Path, parent: Parent) -> "Texts":
        "What shapes and repairs, and English and Python, which judge each for itself."
        code, test = get_corpus("stdlib").valid, wikitext(data)[1:]
        found = texts_of(corpus_of(read, data), parent, settings_of(read).of(parent))
        judged = dict(
            wikitext=sample_windows(test, parent.tokenizer, WINDOW, N_JUDGED["wikitext"]),
            first=windows_of(test, parent.tokenizer, WINDOW, N_JUDGED["first"]),
            stdlib=sample_windows(code, parent.tokenizer, WINDOW, N_STDLIB[read]),
        )
        return cls(judged, found.calibration, found.scored)


@dataclass
class Bench:
    "A parent, its texts, and where results go."

    parent: Parent
    texts: Texts
    out: Path
    cache: Path
    done: dict = field(default_factory=dict)  # name of a file -> its rows

    @classmethod
    def open(cls, options: argparse.Namespace) -> "Bench":
        "Read all that there is. Raises `InputError` for results of another parent or other texts."
        parent = open_parent(options.parent)
        out = options.out or HERE / ("results" if options.read == "wikitext" else "results_mixture")
        bench = cls(parent, Texts.read(options.read, options.data, parent), out, options.cache)
        bench.check_question()
        return bench

    @property
    def question(self) -> dict:
        "What all results depend on."
        judged = {name: digest(windows) for name, windows in self.texts.judged.items()}
        read = dict(calibration=digest(self.texts.calibration), scored=digest(self.texts.scored))
        return dict(parent=digest(*self.parent.model.state_dict().values()), **judged, **read)

    def check_question(self):
        "Write what results depend on, with machine and versions, or check that it is the same."
        self.out.mkdir(parents=True, exist_ok=True)
        path, question = self.out / "about.json", self.question
        if not path.exists():
            about = dict(question=question, window=WINDOW, machine=describe_machine())
            about["architecture"] = json.loads(self.parent.architecture.to_json())
            replace_text(path, json.dumps(about, indent=1))
        elif (found := json.loads(path.read_text(encoding="utf-8"))["question"]) != question:
            other = [name for name, value in question.items() if found.get(name) != value]
            raise InputError(
                f"out={self.out.name!r}: its results have another {' and '.join(other)}; name a new folder"
            )

    def rows(self, name: str) -> list[dict]:
        "What a file of results has; a last line that was cut off is dropped from it."
        if name not in self.done:
            path = self.out / name
            lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
            if lines[-1]:
                replace_text(path, "\n".join([*lines[:-1], ""]))
            self.done[name] = [json.loads(line) for line in lines[:-1]]
        return self.done[name]

    def file(self, name: str, row: dict):
        "Add a row to a file of results, at once."
        self.rows(name).append(row)
        with (self.out / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def once(self, name: str, key: dict, compute: Callable):  # what it gave
        "A value that is computed and filed, unless it was."
        for row in self.rows(name):
            if all(row.get(field) == value for field, value in key.items()):
                return row["value"]
        began = time.perf_counter()
        value = compute()
        self.file(name, key | dict(value=value, seconds=round(time.perf_counter() - began, 1)))
        return value

    @cached_property
    def ends(self) -> dict:
        "The last matrix of every half of a layer."
        return ends_of(self.parent)

    @cached_property
    def scored_inputs(self) -> list[list]:
        "What goes into each layer of the parent, for the first scored windows."
        return [layer_inputs(self.parent, window[None])[0] for window in self.texts.scored[:N_DROPS]]

    @cached_property
    def moments(self) -> "StoredMoments":
        "What goes into them on the calibration text, and in which order units leave."
        path = self.cache / "moments.safetensors"
        stored = StoredMoments(path)
        about = self.question
        wanted = {name: about[name] for name in ("parent", "calibration")}
        if not path.exists() or stored.about != wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            print("measuring moments and ordering units", flush=True)
            measured = measure_moments(self.parent, self.texts.calibration)
            orders = {place: removal_order(end, measured[place]) for place, end in self.ends.items()}
            stored.write(measured, orders, wanted)
        return stored


@dataclass
class StoredMoments:
    "Moments and orders in a file; read one by one, since all of them are large."

    path: Path

    @property
    def about(self) -> dict:
        "Of which parent and text they are."
        with safe_open(self.path, "pt") as file:
            return json.loads(file.metadata()["about"])

    def write(self, moments: dict, orders: dict, about: dict):
        "Keep moments and orders by (layer, half)."
        tensors = {}
        for (layer, half), found in moments.items():
            name = f"{layer}.{half}"
            tensors |= {f"{name}.mean": found.mean, f"{name}.second": found.second}
            tensors |= {f"{name}.n": torch.tensor(found.n), f"{name}.order": torch.tensor(orders[layer, half])}
        replace_file(self.path, lambda path: save_file(tensors, path, dict(about=json.dumps(about))))

    def of(self, place: tuple) -> Moments:
        "The moments of one end."
        with safe_open(self.path, "pt") as file:
            get = lambda what: file.get_tensor(f"{place[0]}.{place[1]}.{what}")  # noqa: E731
            return Moments(int(get("n")), get("mean"), get("second"))

    def order(self, place: tuple) -> list[int]:
        "Units of one end, the first to go first."
        with safe_open(self.path, "pt") as file:
            return file.get_tensor(f"{place[0]}.{place[1]}.order").tolist()


def keeping_fits(cache: Path) -> Callable:  # takes what `refit` takes
    "`refit`, but what was fitted once is read from a file: it takes minutes."

    def fitted(parent: Parent, shape: Shape, windows: torch.Tensor, outputs: dict | None = None) -> tuple[dict, dict]:
        path = cache / "fits" / f"{shape.id}-{digest(windows)}.safetensors"
        if not path.exists():
            write_ends(path, refit(parent, shape, windows, outputs))
        return read_ends(path)

    return fitted
