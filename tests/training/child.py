"""What processes of their own do in these tests, `child.py DATA FOLDER ARCHITECTURE RECIPE`: train, and print."""

import json
import sys

import numpy as np
import torch

from lts_nb.space.architecture import Architecture
from lts_nb.training.loop import train
from lts_nb.training.recipe import Recipe
from lts_nb.training.tokens import Tokens


def load_data(path):
    with np.load(path) as arrays:
        texts = map(str, arrays["texts"])
        return Tokens(arrays["train"], arrays["valid"], int(arrays["valid_bytes"]), 300, *texts)


def main():
    path, folder, architecture, recipe = sys.argv[1:]
    torch.set_num_threads(1)
    recipe = Recipe(**json.loads(recipe))
    found = train(Architecture.from_json(architecture), load_data(path), recipe, folder=folder, saves=7)
    if not torch.distributed.is_initialized():
        print(json.dumps([1, found["losses"], found["curve"]]))
    elif torch.distributed.get_rank() == 0:
        print(json.dumps([torch.distributed.get_world_size(), found["losses"], found["curve"]]))


if __name__ == "__main__":
    main()
