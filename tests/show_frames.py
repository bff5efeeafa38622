"""Tables such as a search makes, of made-up latencies."""

import numpy as np
import pandas as pd

from lts_nb.frontier.evolution import frontier_of
from lts_nb.space.counts import count
from lts_nb.space.memory import peak_bytes
from lts_nb.space.space import SearchSpace


def candidates() -> pd.DataFrame:
    "150 random architectures of the paper's space."
    population, rng = SearchSpace.preset("gpt2").sample(150, seed=0), np.random.default_rng(0)
    counts = count(population)
    columns = dict(
        id=[a.id for a in population],
        architecture=[a.to_json() for a in population],
        n_layer=population.n_layer,
        d_model=population.d_model,
        n_head=[a.n_head for a in population],
        d_inner=[a.d_inner for a in population],
        decoder_params=counts.decoder,
        latency_s=0.01 + 2.2e-9 * counts.decoder * rng.uniform(1, 1.3, len(population)),
        peak_bytes=peak_bytes(population),
    )
    return pd.DataFrame(columns)


def frontier_within(frame: pd.DataFrame) -> pd.DataFrame:
    "The Pareto-optimal rows."
    on = frontier_of(np.c_[-frame.decoder_params, frame.latency_s, frame.peak_bytes])
    return frame[on].reset_index(drop=True)


def by_loss() -> pd.DataFrame:
    "Four members of which a predicted loss stands for quality."
    return pd.DataFrame(
        dict(
            id=list("abcd"),
            predicted_loss=[3.0, 2.9, 2.5, 2.45],
            n_layer=[2, 4, 3, 8],
            latency_s=[0.1, 0.2, 0.3, 1.0],
            peak_bytes=[1e8, 1e8, 2e8, 3e8],
            decoder_params=[9, 3, 2, 1],
        )
    )
