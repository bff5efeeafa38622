"""What a process of its own does in these tests: `child.py DATA FOLDER ARCHITECTURE RECIPE [STEP]`.

It trains and prints losses and curve; with a step, it kills itself before that one.
"""

import json
import os
import signal
import sys

import numpy as np
import torch

from lts_nb.space.architecture import Architecture
from lts_nb.training.loop import train
from lts_nb.training.progress import Progress
from lts_nb.training.recipe import Recipe
from lts_nb.training.tokens import Tokens


def load_data(path):
    with np.load(path) as arrays:
        texts = map(str, arrays["texts"])
        return Tokens(arrays["train"], arrays["valid"], int(arrays["valid_bytes"]), 300, *texts)


def main():
    path, folder, architecture, recipe, *step = sys.argv[1:]
    torch.set_num_threads(1)

    def die(self, args, state, control, **_):
        if state.global_step == int(step[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    if step:
        Progress.on_step_begin = die
    recipe = Recipe(**json.loads(recipe))
    found = train(Architecture.from_json(architecture), load_data(path), recipe, folder=folder, saves=7)
    if not torch.distributed.is_initialized():
        print(json.dumps([1, found["losses"], found["curve"]]))
    elif torch.distributed.get_rank() == 0:
        print(json.dumps([torch.distributed.get_world_size(), found["losses"], found["curve"]]))


if __name__ == "__main__":
    main()
