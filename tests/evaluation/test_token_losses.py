"""Windows over every backbone, and against the loss that training validates with."""

import numpy as np
import pytest
import torch
from evaluation_samples import model_of, trained

from lts_nb.evaluation.examples import EXAMPLES
from lts_nb.evaluation.token_losses import token_losses
from lts_nb.training.validation import validation_loss

TOKENS = np.random.default_rng(0).integers(400, size=400)


@pytest.mark.parametrize("backbone", EXAMPLES)
def test_backbones(backbone):
    "A longer window than the text changes nothing."
    model = model_of(backbone)
    losses = token_losses(model, TOKENS[:40], 64, 64)
    np.testing.assert_allclose(losses, token_losses(model, TOKENS[:40], 39, 39), rtol=1e-3, atol=1e-3)
    assert losses.std() > 0.01


def test_validation_loss():
    "With a stride of the window it sees what training sees, which leaves out the first token of each stretch."
    losses = token_losses(trained(), TOKENS[:321], 32, 32)
    inner = losses[np.arange(1, 321) % 32 > 0].mean()
    assert abs(inner - validation_loss(trained(), TOKENS[:320], 32)) < 1e-4


def test_largest_batch():
    class Widest(torch.nn.Module):
        device, widest = "cpu", 0

        def forward(self, input_ids, use_cache):
            self.widest = max(self.widest, len(input_ids))
            return type("Output", (), dict(logits=torch.zeros(*input_ids.shape, 2)))

    model, said = Widest(), []
    token_losses(model, np.zeros(100), 8, 4, batch_size=5, say=said.append)
    assert model.widest == 5 and said[-1].startswith("99 of 99 tokens: 0.693 nats")
