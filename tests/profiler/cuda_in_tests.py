"A target on made-up cards; a worker imports it, and so does its fresh process."

from lts_nb.profiler.targets.fake_cuda import FakeCuda
from lts_nb.profiler.targets.registry import register_target
from lts_nb.profiler.targets.torch_cuda import TorchCUDA


class MadeUp(TorchCUDA):
    "PyTorch on a made-up card: models run on the processor, times and memory are the card's."

    name, place, reference_width = "made-up-cuda", "cpu", 8
    made_up = FakeCuda()

    @property
    def cuda(self):
        "A class has one set of cards, as a machine has; a test brings its own."
        return self.made_up


register_target("made-up-cuda", MadeUp, replace=True)
