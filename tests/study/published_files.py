"""A made-up archive in the layout of the published one: three experiments, stored counts, other files beside them."""

import hashlib
import zipfile

import yaml

from lts_nb.study.published_archive import PLACE


def config(d_model, n_head, d_inner, **more) -> dict:
    "A published configuration."
    return (
        dict(
            n_layer=len(n_head) if isinstance(n_head, list) else 3,
            d_model=d_model,
            n_head=n_head,
            d_inner=d_inner,
            n_token=50264,
            tgt_len=192,
            d_embed=-1,
            div_val=1,
            cutoffs=[19997, 39997, 199997, 50264],
            tie_projs=[False, True, True, True],
        )
        | more
    )


CONFIGS = {
    "random_GPT2_wt103": {
        "config_0/j0": config(128, [2, 4], [300, 500]),
        "config_0/j10": config(64, [2], [130], d_embed=128, div_val=4),
        "config_0/j2": config(64, [4], [200], div_val=2),
    },
    "random_TransXL_wt103_homogeneous": {"config_0/j0": config(64, 2, 256, d_embed=128)},
    "pareto_TransXL_lm1b_arm": {
        "M1": config(64, [2, 2], [128, 192], cutoffs=[59997, 99997, 639997, 50264], div_val=4, tgt_len=32)
    },
}
PERPLEXITIES = {  # config_0/j10 has none
    "config_0_j0": {"valid_ppl": 40.5, "test_ppl": 41.0},
    "config_0_j2": {"valid_ppl": 60.25, "test_ppl": 61.0},
    "M1": 55.5,
}


def _files_of(experiment: str, configs: dict) -> dict:
    "The files of one experiment, as Python values."
    keys = [name.replace("/", "_") for name in configs]
    files = {f"{name}/model_config.yaml": content for name, content in configs.items()}
    files["params_summary.yaml"] = {
        key: dict(AdaEmb=10.0 * i, Attn=1.0, FFN=2.0, nonembedding=3.0, total=99.0) for i, key in enumerate(keys)
    }
    files["ppl_summary.yaml"] = {key: PERPLEXITIES[key] for key in keys if key in PERPLEXITIES}
    if "pareto" in experiment:
        files |= {"latency_summary.yaml": {"M1": 250.0}, "memory_summary.yaml": {"M1": 1.5}}
    return files


FILES = {
    f"{experiment}/{name}": yaml.safe_dump(content).encode()
    for experiment, configs in CONFIGS.items()
    for name, content in _files_of(experiment, configs).items()
}
HASHES = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def pack(path, files=FILES, root="archai-neurips-lts", beside=True):
    "Write an archive, with a file beside ours as the real one has many."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{root}/{PLACE}{name}", content)
        if beside:
            archive.writestr(f"{root}/README.md", b"another file")
    return path
