"""Counts of words that perplexities in the literature are divided by, recounted where the texts are at hand."""

from pathlib import Path

import pytest

from lts_nb.evaluation.evaluation import count_words, read

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.parametrize("side, words, with_ends", [("valid", 213_886, 217_646), ("test", 241_211, 245_569)])
def test_wikitext(side, words, with_ends):
    "WikiText's own counts include the end of every line (Merity et al. 2016, table 1)."
    if not (file := DATA / f"wikitext-2-{side}.txt").exists():
        pytest.skip("WikiText is not here")
    text = read(file)[1]
    assert (count_words(text), count_words(text, line_ends=True)) == (words, with_ends)
