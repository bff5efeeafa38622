"""The made-up archive as a table, cell by cell, and its counts against rules that are known."""

from dataclasses import replace

import pytest
from study.published_files import HASHES, pack

from lts_nb.space.counts import count
from lts_nb.study.published import published
from lts_nb.study.recounting import PARTS, count_by_archive, disagreements


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    return published(pack(tmp_path_factory.mktemp("archive") / "good.zip"), HASHES)


def test_columns(frame):
    experiments = ["random_GPT2_wt103"] * 3 + ["random_TransXL_wt103_homogeneous", "pareto_TransXL_lm1b_arm"]
    assert list(frame.experiment) == experiments
    assert list(frame.name) == ["config_0/j0", "config_0/j2", "config_0/j10", "config_0/j0", "M1"]  # 2 before 10
    assert list(frame.kind) == ["random"] * 4 + ["pareto"]
    assert list(frame.backbone) == ["gpt2"] * 3 + ["transformer-xl"] * 2
    assert list(frame.dataset) == ["wt103"] * 4 + ["lm1b"]
    assert list(frame.device.fillna("")) == [""] * 4 + ["ARM Cortex-A72"]
    assert list(frame.homogeneous) == [False, True, True, True, False]
    assert list(frame.perplexity.fillna(-1)) == [40.5, 60.25, -1, 40.5, 55.5]
    assert list(frame.test_perplexity.fillna(-1)) == [41.0, 61.0, -1, 41.0, -1]
    assert (frame.latency_s[4], frame.allocated_bytes[4]) == (0.25, 1.5 * 2**20) and frame.latency_s.count() == 1
    assert [a.max_len for a in frame.architecture] == [192] * 4 + [32]


def test_counts(frame):
    assert list(frame.stored_embedding_params) == [0, 20, 10, 0, 0]
    assert list(frame.iloc[4][[f"stored_{p}_params" for p in ("attention", "ffn", "decoder", "total")]]) == [
        1,
        2,
        3,
        99,
    ]
    assert frame.decoder_params[0] == 2 * (4 * 128**2 + 9 * 128) + (2 * 128 + 1) * 800 + 2 * 128
    assert frame.decoder_params[3] == 3 * (5 * 64**2 + 7 * 64 + (2 * 64 + 1) * 256)  # closed forms of the paper
    for row in frame.itertuples():
        counts = count(row.architecture)
        assert [getattr(row, f"{part}_params") for part in PARTS] == [getattr(counts, part) for part in PARTS]
        assert row.id == row.architecture.id


def test_archive_rule_by_hand(frame):
    wide = count_by_archive(frame.architecture[2], frame.config[2])  # k = 4, an embedding wider than the model
    assert wide.embedding == 19997 * 128 + 20000 * 32 + 10267 * 8 + 64 * (128 + 32 + 8) + 192 * 64
    assert wide.total - wide.decoder - wide.embedding == 50264 + 2 * 129 + 64 * 128
    assert wide.further_projections == 64 * (32 + 8)
    one = count_by_archive(frame.architecture[3], frame.config[3])  # k = 1: one table, one projection
    assert one.embedding == 50264 * 128 + 64 * 128
    assert one.total - one.decoder - one.embedding == 50264 + 2 * 129 + 64 * 128
    same = count_by_archive(frame.architecture[0], frame.config[0])  # k = 1 and equal widths: no projection
    assert same.embedding == 50264 * 128 + 192 * 128
    assert same.total - same.decoder - same.embedding == 50264 + 2 * 129


def stored_as(frame, rule, **more):
    "The frame with counts stored as `rule(architecture, config)` says, and more in the configurations."
    changed = frame.copy()
    changed["config"] = [config | more for config in changed.config]
    counts = [rule(*pair) for pair in zip(changed.architecture, changed.config)]
    for part in PARTS:
        changed[f"stored_{part}_params"] = [getattr(found, part) for found in counts]
    return changed


def as_transformer_xl(architecture, config):
    return count_by_archive(replace(architecture, backbone="transformer-xl"), config)


def reasons(frame, what) -> set:
    found = disagreements(frame)
    return set(found[found.what == what].why)


def test_reasons(frame):
    found = disagreements(frame)
    assert set(found[found.what.isin(PARTS)].why) == {"unexplained"}  # made-up counts are nonsense
    assert (found.what == "perplexity").sum() == 1
    own = stored_as(frame, count_by_archive)
    rule = {"the archive's rule for embeddings"}
    assert [reasons(own, part) for part in PARTS] == [set(), set(), set(), rule, rule]
    other, formula = stored_as(frame[:3], as_transformer_xl), {"Transformer-XL's formula"}
    assert [reasons(other, part) for part in PARTS] == [formula, set(), formula, formula, formula]
    decoder = disagreements(other)[lambda table: table.what == "decoder"].iloc[1]
    assert decoder.stored == 5 * 64**2 + 7 * 64 + 129 * 200
    assert decoder.recomputed == 4 * 64**2 + 9 * 64 + 129 * 200 + 128


def test_logged_counts(frame):
    depth, width = 3, 64
    row = frame[3:4]
    total = count_by_archive(row.architecture[3], row.config[3]).total
    for gap, expected in {
        0: set(),
        2 * width * depth: {"without u and v"},
        2 * width * (depth - 1): {"u and v once for all layers"},
        2 * width * 128: {"all but the first output projection tied"},
        1: {"unexplained"},
    }.items():
        assert reasons(stored_as(row, count_by_archive, n_all_param=total - gap), "logged total") == expected


def test_oddities_that_are_no_counts(frame):
    odd = frame[:3].copy()
    odd["config"] = [odd.config[0] | dict(n_token=50257), *odd.config[1:]]
    odd["test_perplexity"] = [41.0, 60.25, None]
    assert reasons(odd, "setting") == {"50,257 tokens and length 192, the others 50,264 and 192"}
    found = disagreements(odd)
    assert list(found[found.what == "test perplexity"].name) == ["config_0/j2"]
