"What the losses of many shapes say of scores."

import pandas as pd

from lts_nb.study.pairs import compare_pairs
from lts_nb.study.resampling import agreement

COUNT = "decoder parameters"
OTHER_WINDOWS = "the loss, on other windows"
BELOW = 1.25  # ratio of decoder parameters within which two shapes are near


def losses_of_windows(shapes: list[dict], text: str) -> pd.DataFrame:  # a row a shape, by its number; a column a window
    "The loss of every shape of many.py on every window of a text."
    return pd.DataFrame({row["number"]: row["losses"][text] for row in shapes}).T


def beside_the_count(proxied: list[dict], scored: list[dict]) -> list[dict]:
    "What proxies say of shapes, and how many decoder parameters those have."
    counts = {row["number"]: row["scores"][COUNT] for row in scored}
    return [dict(number=row["number"], scores={COUNT: counts[row["number"]]} | row["scores"]) for row in proxied]


def judged_score(score: pd.Series, size: pd.Series, loss: pd.Series) -> dict:
    "ρ of a score with the loss, and how often it is right about near pairs, alone and beside the count."
    over, near = agreement(score, loss, drop=True), compare_pairs(score, size, loss, size, BELOW)
    found = dict(rho=over["rho"], rho_low=over["rho_low"], rho_high=over["rho_high"], right=near["right_a"])
    names = dict(difference="more", difference_low="more_low", difference_high="more_high")
    return found | {name: near[key] for key, name in names.items()}


def judged_scores(shapes: list[dict], scored: list[dict], text: str) -> pd.DataFrame:
    """Every score on the shapes that have both losses and scores, those first that are right about most near pairs.

    Columns: `score, rho, rho_low, rho_high`; `right`, the share of near pairs, and `more, more_low, more_high`, what it
    is more than the count's. A row beside them says how well half of the windows tell what the other half says, which
    no score can be expected to pass by much.
    """
    said = pd.DataFrame({row["number"]: row["scores"] for row in scored}).T.astype(float)
    windows = losses_of_windows(shapes, text).loc[said.index]
    size, loss = said[COUNT], windows.mean(axis=1)
    rows = [dict(score=name) | judged_score(said[name], size, loss) for name in said]
    halves = -windows.iloc[:, ::2].mean(axis=1), size, windows.iloc[:, 1::2].mean(axis=1)
    rows.append(dict(score=OTHER_WINDOWS) | judged_score(*halves))
    return pd.DataFrame(rows).sort_values("right", ascending=False, ignore_index=True)


def more_by_spread(shapes: list[dict], scored: list[dict], text: str, names: list[str]) -> pd.DataFrame:
    "By how much more near pairs scores are right about than the count, in words; shapes by how unlike layers are."
    rows = []
    for spread, group in pd.DataFrame(shapes).groupby("spread"):
        these = [row for row in scored if row["number"] in set(group.number)]
        found = judged_scores(group.to_dict("records"), these, text).set_index("score")
        words = {name: "{more:+.3f} [{more_low:+.3f}, {more_high:+.3f}]".format(**found.loc[name]) for name in names}
        rows.append(dict(spread=spread, shapes=len(these)) | {"right, the count": found.right[COUNT]} | words)
    return pd.DataFrame(rows).set_index("spread")
