"""What the tests of searches share: a device that is made up, small spaces, and a law."""

import json

import numpy as np

from lts_nb.frontier.loss_law import LossLaw
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.searches.search import search
from lts_nb.space.space import SearchSpace


class SteadyTarget(FakeTarget):
    "Its noise hangs on the architecture alone, so an interrupted run and a straight one measure the same."

    def measure(self, architecture, *args, **options):
        self._random = np.random.default_rng(int(architecture.id[:8], 16))
        self.noise = 0.05
        return super().measure(architecture, *args, **options)


CHOICES = dict(n_layer=[2, 3], d_model=[128, 256], d_inner=[512, 1024], n_head=[2, 4], vocab_size=[1000])
TINY = SearchSpace.preset("gpt2", **CHOICES)
FEW = SearchSpace.preset("gpt2", **CHOICES | dict(n_layer=[2, 3, 4], d_inner=[512, 768, 1024, 2048]))
LAW = LossLaw(
    exponents=dict(N=0.25, D=0.5),
    coefficients=(2.0, 0.6, 0.6),
    middle=dict(N=1e7, D=4.0),
    folds=((dict(N=0.25, D=0.5), (2.0, 0.6, 0.6)),),
    residuals=((0.01, -0.01),),
    error=0.01,
    ranges=dict(D=(2, 12), W=(128, 1024), N=(1e5, 2e8)),
)


def quiet_search(*args, **settings):
    "A search that says nothing."
    return search(*args, progress=False, say=lambda sentence: None, **settings)


def run_json(folder) -> dict:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))
