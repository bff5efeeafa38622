"""A picture never costs the work that it pictures, and a user's name in it is no markup."""

import json
import os
import shutil
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from kit import SMALL, lts, quick_searches
from matplotlib.figure import Figure

from lts_nb.cli.study import draw_published
from lts_nb.core.errors import Remark
from lts_nb.searches.result import SearchResult
from lts_nb.show.picture import family_with, missing_characters, save_picture, write_title
from lts_nb.training.model_folder import plot_curve

NAMES = [
    "ca$$h texts",
    "$x",
    "a$b$c",
    "_^{\\",
    "\\$",
    "%d #1 & ~",
    "中文 语料",
    "a\tb\nc",
    "<b>&amp;</b>",
    "x" * 300,
    "\udce9",
]


def picture_of(name: str) -> Figure:
    fig, ax = plt.subplots(figsize=(4, 1), layout="constrained")
    write_title(ax, name)
    plt.close(fig)
    return fig


@pytest.fixture
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", NAMES)
def test_names_are_no_markup(tmp_path, no_warnings, name):
    assert save_picture(tmp_path / "picture.png", lambda: picture_of(name))
    shown = " ".join(name.split())[:80].replace("\udce9", "?") + "…" * (len(name) > 80)
    assert picture_of(name).axes[0].get_title() == shown


@pytest.mark.parametrize("name", NAMES)
def test_the_curve_of_a_corpus_with_such_a_name(tmp_path, no_warnings, name):
    training = dict(id="91d8af701afbf9f4", corpus=name, curve=[[10, 3.0], [20, 2.0]], tokens=20, loss=2.1)
    assert save_picture(tmp_path / "curve.png", lambda: plot_curve(training))


def test_another_configuration_of_matplotlib(tmp_path, no_warnings):
    "Text by LaTeX is nothing that a picture here needs."
    with plt.rc_context({"text.usetex": True}):
        assert save_picture(tmp_path / "picture.png", lambda: picture_of("ca$h"))


def test_a_font_that_has_them(monkeypatch):
    "STIX comes with matplotlib and has signs that its first font lacks."
    from matplotlib.font_manager import findfont, fontManager, get_font

    stix = next(font for font in fontManager.ttflist if font.name == "STIXGeneral" and font.style == "normal")
    first = get_font(findfont("DejaVu Sans")).get_charmap().keys()
    only = sorted(get_font(stix.fname).get_charmap().keys() - first)
    character = next(number for number in only if chr(number).isprintable() and number < 0xE000)
    monkeypatch.setattr(
        fontManager, "ttflist", [f for f in fontManager.ttflist if "STIXG" in f.name or "Deja" in f.name]
    )
    assert family_with({character}) == "STIXGeneral" and family_with({0x10FFFD}) is None
    figure = picture_of(f"a {chr(character)}")
    assert missing_characters(figure.axes[0].title) == {character}


def test_a_font_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr("lts_nb.show.picture.family_with", lambda needed: "STIXGeneral")
    figure = picture_of("中")
    save_picture(tmp_path / "picture.png", lambda: figure)
    assert figure.axes[0].title.get_fontfamily()[-1] == "STIXGeneral"
    assert (
        figure.axes[0].xaxis.get_label().get_fontfamily() == picture_of("a").axes[0].xaxis.get_label().get_fontfamily()
    )


def fail():
    raise ValueError("Expected end of text,\nfound '$'")


@pytest.mark.parametrize("draw", [fail, lambda: None, lambda: 3])
def test_what_fails_is_one_warning(tmp_path, draw):
    (tmp_path / "picture.png").write_bytes(b"of an earlier run")
    with pytest.warns(Remark) as said:
        assert not save_picture(tmp_path / "picture.png", draw)
    assert len(said) == 1 and said[0].filename == __file__
    message = str(said[0].message)
    assert (
        message.startswith(f"picture={str(tmp_path / 'picture.png')!r}: could not be drawn (") and "\n" not in message
    )
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_no_picture_can_be(tmp_path):
    (tmp_path / "picture.png").mkdir()
    said = []
    assert not save_picture(tmp_path / "picture.png", lambda: picture_of("a"), say=said.append)
    assert not save_picture(tmp_path / "none" / "picture.png", lambda: picture_of("a"), say=said.append)
    assert len(said) == 2 and list(tmp_path.iterdir()) == [tmp_path / "picture.png"]


# The work is kept


@pytest.fixture
def broken(monkeypatch):
    "Pictures cannot be written."

    def savefig(*_, **options):
        raise RuntimeError("no picture today")

    monkeypatch.setattr(Figure, "savefig", savefig)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    "A finished run, and texts in a folder whose name is markup."
    place = tmp_path_factory.mktemp("pictures")
    (place / "space.json").write_text(SMALL.to_json(), encoding="utf-8")
    (place / "ca$$h texts").mkdir()
    for number in range(40):
        text = f"{number} bottles of milk on the wall. " * 60
        (place / "ca$$h texts" / f"{number}.txt").write_text(text, encoding="utf-8")
    asked = ("--space", place / "space.json", "--method", "lts", "--evaluations", 4, "--prompt-len", 16)
    with quick_searches():
        assert lts("search", *asked, "--out", place / "run")[0] == 0
    return place / "run"


def test_a_search_without_a_picture(run, tmp_path, broken):
    whole = SearchResult.load(run)
    with pytest.warns(Remark, match="frontier.png': could not be drawn .RuntimeError: no picture today"):
        whole.save(tmp_path / "saved")
    assert len(SearchResult.load(tmp_path / "saved").frontier) == len(whole.frontier)
    with quick_searches():
        code, out, err = lts("search", "--out", shutil.copytree(run, tmp_path / "run"), "--resume")
    assert code == 0 and "\nnext: lts pick" in out and "frontier.png" not in out
    moves = "\r" + err.replace("\n", "\r").replace("\x1b[A", "\r")  # up one line, where other bars stand
    assert "\rwarning: picture=" in moves  # on a line of its own, beside the bar, if there is one


def train(run: Path, out: Path) -> tuple[int, str, str]:
    small = ("--tokens", 3000, "--batch-size", 8, "--dtype", "float32", "--vocab-size", 270)
    return lts("train", run, *small, "--corpus", run.parent / "ca$$h texts", "--out", out)


def test_a_training_with_a_name_that_is_markup(run, tmp_path):
    code, out, err = train(run, tmp_path / "model")
    assert code == 0 and "ca$$h texts's validation text" in out and "warning: picture" not in err
    assert (tmp_path / "model" / "curve.png").stat().st_size > 1000


def test_a_training_and_a_hand_over_without_a_picture(run, tmp_path, broken):
    code, out, err = train(run, tmp_path / "model")
    assert code == 0 and "\nnext: lts eval" in out
    assert [line for line in err.splitlines() if "no picture today" in line][0].startswith("warning: picture=")
    files = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"training.json", "model.safetensors"} <= files and not {"curve.png", "checkpoints"} & files
    assert train(run, tmp_path / "model")[1] == out  # it is done
    code, _, err = lts("export", tmp_path / "model", "--out", tmp_path / "handed")
    assert code == 0 and "warning: picture=" in err and (tmp_path / "handed" / "README.md").exists()


def test_a_training_is_filed_before_it_is_drawn(run, tmp_path, monkeypatch):
    "Even what ends the process in the middle of a picture finds the record written."

    def interrupted(*_, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", interrupted)
    assert train(run, tmp_path / "model")[0] == 130
    assert json.loads((tmp_path / "model" / "training.json").read_text(encoding="utf-8"))["corpus"] == "ca$$h texts"


def test_figures_of_a_study(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("lts_nb.study.published_figures.plot_ranks", lambda frame: picture_of(frame))
    with pytest.warns(Remark) as said:
        draw_published("ca$$h", tmp_path / "study")
    assert len(said) == 3 and os.listdir(tmp_path / "study") == ["ranks.png"]
    assert capsys.readouterr().out == f"figures are in {tmp_path / 'study'}\n"
