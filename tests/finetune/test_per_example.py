"""Gradients of single examples from one pass are those of a pass for each."""

from functools import partial

import pytest
import torch

from fedlora.finetune.local import _descend, _of_each, put
from fedlora.finetune.per_example import MixedRowsError, gradients_of_each
from fedlora.finetune.private import one_by_one
from tests.finetune.many import IMAGES, TEXTS, clients

CASES = [(name, head) for name in (*IMAGES, *TEXTS) for head in (False, True)
         if not (head and name in ("smollm2_tiny", "gpt2"))]  # fmt: skip


@pytest.mark.parametrize(("name", "head"), CASES)
def test_each_example_has_the_gradient_that_it_has_alone(name, head):
    job = clients(name, torch.float64, head)[0]
    put(job.objective, job.start)
    with job.objective.slot.only("up"):
        ups = [p for p in job.objective.slot.parameters() if p.requires_grad]
        trained = [*ups, *job.objective.head().values()]
        losses, found = gradients_of_each(job.objective, trained, job.rows)
        own, alone = one_by_one(partial(_descend, job, None), trained)(job.rows)

    assert torch.allclose(losses, own, rtol=1e-9)
    assert max(float(each.abs().max()) for each in alone) > 1e-4
    for one, other in zip(found, alone, strict=True):
        assert one.shape == other.shape
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-10)


def test_where_a_model_mixes_rows_each_example_has_a_pass_of_its_own(monkeypatch):
    job = clients("clip", torch.float64)[0]
    put(job.objective, job.start)
    respond = job.objective.respond

    def joined(rows):  # all but a single row in one, as windows of images are in some models
        responses = respond(rows)
        return responses if len(responses) == 1 else responses.flatten().unsqueeze(0)

    monkeypatch.setattr(job.objective, "respond", joined)
    with job.objective.slot.only("up"):
        trained = [p for p in job.objective.slot.parameters() if p.requires_grad]
        with pytest.raises(MixedRowsError):
            gradients_of_each(job.objective, trained, job.rows)
        alone = one_by_one(partial(_descend, job, None), trained)
        (losses, found), (own, each) = _of_each(job, trained, alone, job.rows), alone(job.rows)

    assert torch.equal(losses, own)
    assert all(torch.equal(one, other) for one, other in zip(found, each, strict=True))
