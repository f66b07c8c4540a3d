"""Each kind of task is scored as its definition says."""

from functools import lru_cache

import pytest
import torch
from torch.nn import functional

from fedlora.backbone import AdapterSlot, load_base
from fedlora.config import BackboneConfig, LoraSection, TaskVectorConfig, TrainSection
from fedlora.errors import FedloraError
from fedlora.finetune.local import fresh, put, train
from fedlora.finetune.objectives import objective_for
from fedlora.finetune.objectives import tokens as tokens_of
from fedlora.finetune.objectives.tokens import target_log_likelihood
from fedlora.finetune.task_vector import task_vector
from fedlora.tasks.contract import Examples
from tests.finetune import many

TEXTS = ["the team won the match", "shares fell on the market", "a goal in the last minute"]


@lru_cache
def slot(name: str) -> AdapterSlot:
    return AdapterSlot(load_base(BackboneConfig(name=name)), LoraSection(), torch.device("cpu"))


def text_task(train_head: bool = False):
    return objective_for(
        slot("minilm"), "text-classification", ("sport", "business"), train_head, 32
    )


def test_a_sentence_encoder_knows_the_nearest_label_without_training():
    objective = text_task()
    rows = objective.encode(Examples(TEXTS, torch.tensor([0, 1, 0]).numpy()))
    put(objective, fresh(objective, 0))
    assert objective.score(rows)["accuracy"] == 1.0


def test_padding_changes_no_score():
    objective = text_task()
    long = [*TEXTS, "a very long sentence about nothing in particular " * 3]
    alone = objective.encode(Examples(TEXTS, torch.tensor([0, 1, 0]).numpy()))
    padded = objective.encode(Examples(long, torch.tensor([0, 1, 0, 0]).numpy()))
    with torch.inference_mode():
        expected = objective.judge(alone)["loss"]
        assert torch.allclose(objective.judge(padded)["loss"][:3], expected, atol=1e-5)


def test_label_names_are_embedded_by_the_base_not_by_the_adapter_in_the_slot():
    objective = text_task()
    adapter = fresh(objective, 0)
    shifted = type(adapter)(
        adapter.spec, adapter.down, {k: v + 0.1 for k, v in adapter.up.items()}, {}
    )
    put(objective, shifted)
    assert torch.equal(text_task().weight, objective.weight)


def test_a_task_vector_depends_on_the_base_and_the_data_alone():
    objective = text_task()
    rows = objective.encode(Examples(TEXTS, torch.tensor([0, 1, 0]).numpy()))
    config = TaskVectorConfig(features=("pooled", "moments", "early"))
    put(objective, fresh(objective, 0))
    first = task_vector(objective, rows, config)
    adapter = fresh(objective, 0)
    put(
        objective,
        type(adapter)(adapter.spec, adapter.down, {k: v + 1 for k, v in adapter.up.items()}, {}),
    )
    assert torch.equal(task_vector(objective, rows, config), first)
    assert first.shape == (384 + 384 + 20 * 384,)
    other = objective.encode(Examples(TEXTS[::-1][:2], torch.tensor([0, 1]).numpy()))
    assert not torch.allclose(task_vector(objective, other, config), first)


def test_the_gradient_tells_what_labels_ask_for_and_inputs_what_the_base_model_does_not_see():
    objective = text_task()
    labels = torch.tensor([0, 1, 0])
    rows = objective.encode(Examples(TEXTS, labels.numpy()))
    flipped = objective.encode(Examples(TEXTS, (1 - labels).numpy()))

    def described(rows, *features):
        return task_vector(objective, rows, TaskVectorConfig(features=features))

    assert torch.equal(described(rows, "pooled"), described(flipped, "pooled"))
    one, other = described(rows, "gradient"), described(flipped, "gradient")
    assert one.shape == (256,)
    assert torch.cosine_similarity(one, other, dim=0) < 0
    settings = TrainSection(epochs=1, batch_size=3, learning_rate=0.1)
    put(objective, train(objective, fresh(objective, 1), rows, None, settings, 0).adapters[-1])
    assert torch.equal(described(rows, "gradient"), one)

    words = described(rows, "inputs")
    assert words.sum() == pytest.approx(1)
    assert torch.equal(described(flipped, "inputs"), words)
    both = described(rows, "inputs", "gradient")
    assert torch.equal(both, torch.cat([words, one]))


def test_the_inputs_of_images_are_their_mean_on_a_grid():
    task = many.objective(many.slot("tiny_vit"))
    rows = many.examples(task, 9, 0)
    vector = task_vector(task, rows, TaskVectorConfig(features=("inputs",)))
    images = rows["pixel_values"]
    assert vector.shape == (images.shape[1] * 14 * 14,)
    size = images.shape[-1] // 14
    assert vector[0] == pytest.approx(images[:, 0, :size, :size].double().mean().item(), rel=1e-6)


@pytest.mark.slow
def test_likelihoods_are_those_of_the_language_model():
    causal = slot("smollm2")
    lm = objective_for(causal, "language-modelling", (), False, 32)
    rows = lm.encode(Examples(TEXTS[:1]))
    ids = rows["input_ids"]
    with torch.inference_mode():
        logits = causal.model(input_ids=ids).logits[0, :-1].float()
        expected = functional.cross_entropy(logits, ids[0, 1:])
        assert torch.allclose(lm.judge(rows)["nll"][0], expected, atol=1e-3)

    choice = objective_for(causal, "multiple-choice", (), False, 64)
    question = Examples(
        ["Question: What is the capital of France?\nAnswer:"],
        torch.tensor([1]).numpy(),
        [["Berlin", "Paris", "Rome"]],
    )
    rows = choice.encode(question)
    with torch.inference_mode():
        judged = choice.judge(rows)
        tokenizer = causal.base.tokenizer
        prompt = tokenizer(question.inputs[0])["input_ids"]
        scores = []
        for answer in question.choices[0]:
            continuation = tokenizer(" " + answer, add_special_tokens=False)["input_ids"]
            ids = torch.tensor([prompt + continuation])
            log_p = causal.model(input_ids=ids).logits[0].float().log_softmax(-1)
            at = range(len(prompt), ids.shape[1])
            scores.append(float(sum(log_p[i - 1, ids[0, i]] for i in at)))
    assert judged["accuracy"].item() == float(scores.index(max(scores)) == 1)
    # lm-evaluation-harness's acc_norm: characters of the answer, without the space before it
    assert rows["characters"].tolist() == [[6.0, 5.0, 4.0]]
    each = [score / len(answer) for score, answer in zip(scores, question.choices[0], strict=True)]
    assert judged["accuracy_norm"].item() == float(each.index(max(each)) == 1)
    assert judged["loss"].item() == pytest.approx(
        -scores[1] / (ids.shape[1] - len(prompt)), rel=1e-3
    )


def test_so_many_tokens_are_scored_at_once_since_each_has_a_vocabulary_of_logits(monkeypatch):
    causal = many.slot("gpt2")
    task, asked = many.objective(causal), []
    rows = many.examples(task, 11, 0)
    monkeypatch.setattr(tokens_of, "SLICE", 4 * rows["input_ids"].shape[1] + 1)
    with torch.inference_mode():
        whole, tokens = target_log_likelihood(causal, rows)
        hook = causal.model.register_forward_pre_hook(
            lambda _, __, given: asked.append(len(given["input_ids"])), with_kwargs=True
        )
        judged = task.judge(rows)
    hook.remove()

    assert asked == [4, 4, 3]
    assert torch.allclose(judged["nll"], -whole / tokens, atol=1e-9)


def test_a_base_model_that_cannot_do_the_task_is_named():
    with pytest.raises(FedloraError, match=r"needs a causal language model.*try smollm2"):
        objective_for(slot("tiny_vit"), "language-modelling", (), False, 32)
    with pytest.raises(FedloraError, match=r"label 'Coats' .*coat, sandal.*rename it there"):
        objective_for(slot("tiny_vit"), "image-classification", ("Coats",), False, 32)
    with pytest.raises(FedloraError, match="need an image classifier"):
        objective_for(slot("minilm"), "image-classification", ("coat",), False, 32)
