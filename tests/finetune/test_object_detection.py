"""Objects as text: the likelihood of what is there, and what the model writes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch.nn import functional
from transformers import AutoTokenizer, Florence2ForConditionalGeneration

from fedlora.adapter import peft_folder
from fedlora.backbone import AdapterSlot, load_base
from fedlora.config import BackboneConfig, LoraSection, TaskVectorConfig, TrainSection
from fedlora.errors import FedloraError
from fedlora.finetune.local import current, fresh, put, train
from fedlora.finetune.objectives import objective_for
from fedlora.finetune.objectives.average_precision import Detected
from fedlora.finetune.objectives.object_detection import PROMPT, ObjectDetection
from fedlora.finetune.objectives.written_boxes import BoxTokens
from fedlora.finetune.task_vector import task_vector
from fedlora.tasks.contract import Examples
from tests.finetune.small_florence import SIZE, save_small

SUFFIXES = [
    "bag<loc_100><loc_200><loc_300><loc_400>",
    "bag<loc_0><loc_0><loc_500><loc_500> ankle boot<loc_500><loc_500><loc_999><loc_999>",
    "3<loc_10><loc_20><loc_30><loc_40>",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("florence"))


def detection(folder: Path, lora: LoraSection) -> ObjectDetection:
    base = load_base(BackboneConfig(name=str(folder)))
    slot = AdapterSlot(base, lora, torch.device("cpu"))
    made = objective_for(slot, "object-detection", ("bag",), False, 24)
    assert isinstance(made, ObjectDetection)
    return made


@pytest.fixture(scope="module")
def objective(folder: Path) -> ObjectDetection:
    return detection(folder, LoraSection(rank=2))


def images() -> np.ndarray:
    return np.random.default_rng(0).random((3, 3, SIZE, SIZE), dtype=np.float32)


def test_the_loss_is_what_transformers_gives_for_the_suffix(
    objective: ObjectDetection, folder: Path
):
    rows = objective.encode(Examples(images()[:1], suffixes=SUFFIXES[:1]))
    put(objective, fresh(objective, 0))

    model = Florence2ForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    positions = 1 + (SIZE // 8) ** 2
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (torch.from_numpy(images()[:1]) - mean.reshape(-1, 1, 1)) / std.reshape(-1, 1, 1)
    image = tokenizer.convert_tokens_to_ids("<image>")
    words = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        output = model(
            input_ids=torch.cat([torch.full((1, positions), image), words], 1),
            pixel_values=pixels,
            labels=tokenizer(SUFFIXES[0], return_tensors="pt")["input_ids"],
        )

    assert objective.score(rows)["loss"] == pytest.approx(float(output.loss), rel=1e-4)


def test_padding_changes_no_likelihood(objective: ObjectDetection):
    put(objective, fresh(objective, 0))
    together = objective.encode(Examples(images(), suffixes=SUFFIXES))
    alone = [objective.encode(Examples(images()[[i]], suffixes=[SUFFIXES[i]])) for i in range(3)]
    with torch.no_grad():
        expected = torch.cat([objective.respond(rows) for rows in alone])

        assert torch.allclose(objective.respond(together), expected, atol=1e-4)
        whole = objective.loss_of(expected, together, {})
    assert float(whole) == pytest.approx(-float(expected[:, 0].sum() / expected[:, 1].sum()))


def test_what_is_written_is_the_likeliest_token_each_time(objective: ObjectDetection):
    put(objective, fresh(objective, 0))
    rows = objective.encode(Examples(images()[:1], suffixes=SUFFIXES[:1]))
    prompt, pixels = objective._prompts(rows), objective._pixels(rows)
    written, likelihoods = [objective.first], []
    with torch.no_grad():
        for _ in range(objective.max_length):
            logits = objective.slot.base.model(
                input_ids=prompt, pixel_values=pixels, decoder_input_ids=torch.tensor([written])
            ).logits[0, -1]
            written.append(int(logits.argmax()))
            likelihoods.append(float(functional.log_softmax(logits, -1).max()))
            if written[-1] == 2:
                break

        (found,) = objective.detect(rows)

    assert found == pytest.approx(objective.boxes.read(written[1:], likelihoods))


def test_training_makes_what_is_there_likelier(folder: Path):
    published = ("q_proj", "k_proj", "v_proj", "out_proj", "fc2", "lm_head")
    objective = detection(folder, LoraSection(rank=8, targets=published))
    rows = objective.encode(Examples(images()[:1], suffixes=SUFFIXES[:1]))
    start = fresh(objective, 0)
    put(objective, start)
    before = float(objective.judge(rows)["loss"].detach())

    train(objective, start, rows, None, TrainSection(epochs=40, learning_rate=0.1), 0)

    assert float(objective.judge(rows)["loss"].detach()) < before / 4


def test_the_task_vector_is_the_base_models_last_state_of_the_suffix(objective: ObjectDetection):
    rows = objective.encode(Examples(images(), suffixes=SUFFIXES))

    vector = task_vector(objective, rows, TaskVectorConfig(samples=8, features=("pooled", "early")))

    lasts = []
    with torch.no_grad(), objective.slot.disabled():
        for i in range(3):
            one = objective.encode(Examples(images()[[i]], suffixes=[SUFFIXES[i]]))
            lasts.append(objective.hidden(one)[0][0])
    assert torch.allclose(vector[:16], torch.stack(lasts).mean(0), atol=1e-4)
    assert len(vector) == 16 + 20 * 16


def test_an_adapter_leaves_as_a_folder_that_peft_loads(objective: ObjectDetection, folder: Path):
    rows = objective.encode(Examples(images()[:1], suffixes=SUFFIXES[:1]))
    train(objective, fresh(objective, 0), rows, None, TrainSection(epochs=3, learning_rate=0.1), 0)
    base = objective.slot.base
    peft_folder.save(current(objective), folder / "adapter", base.reference, base.task_type)

    model = PeftModel.from_pretrained(
        Florence2ForConditionalGeneration.from_pretrained(folder), folder / "adapter"
    ).eval()

    prompt, pixels = objective._prompts(rows), objective._pixels(rows)
    with torch.no_grad():
        written = model.generate(
            input_ids=prompt, pixel_values=pixels, max_new_tokens=24, num_beams=1
        )
        own = objective.detect(rows)
    assert [(o.label, o.box) for o in objective.boxes.read(written[0, 1:].tolist())] == [
        (o.label, o.box) for o in own[0]
    ]


def ids(tokenizer: object, text: str) -> list[int]:
    return tokenizer(text)["input_ids"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (SUFFIXES[1], ["bag", "ankle boot"]),
        ("bag<loc_1><loc_2><loc_3><loc_4><loc_5><loc_6><loc_7><loc_8>", ["bag", "bag"]),
        ("bag<loc_1><loc_2><loc_3> 3<loc_1><loc_2><loc_3><loc_4>", ["3"]),
        ("<loc_1><loc_2><loc_3><loc_4> bag", []),
        ("", []),
    ],
)
def test_objects_are_read_off_tokens(objective: ObjectDetection, text: str, labels: list[str]):
    tokenizer = objective.slot.base.tokenizer
    row = ids(tokenizer, text)

    found = objective.boxes.read([*row, *ids(tokenizer, SUFFIXES[0])])

    assert [o.label for o in found] == labels
    assert all(o.score == 1.0 for o in found)


def test_a_score_is_the_mean_likelihood_of_an_objects_own_tokens(objective: ObjectDetection):
    tokenizer = objective.slot.base.tokenizer
    chances = [-9.0, -1.0, -2.0, -3.0, -4.0, -5.0, -9.0]

    (found,) = BoxTokens(tokenizer).read(ids(tokenizer, SUFFIXES[0]), chances)

    box = (100.5, 200.5, 300.5, 400.5)
    assert found == Detected("bag", box, pytest.approx(float(np.exp(-3.0))))


def test_what_cannot_be_detected_is_refused(objective: ObjectDetection, folder: Path):
    with pytest.raises(FedloraError, match="raise it"):
        objective.encode(Examples(images()[:1], suffixes=[" ".join(SUFFIXES * 3)]))
    with pytest.raises(FedloraError, match="the source gives none"):
        objective.encode(Examples(images()[:1]))
    vit = load_base(BackboneConfig(name="tiny_vit"))
    seeing = AdapterSlot(vit, LoraSection(), torch.device("cpu"))
    with pytest.raises(FedloraError, match="needs a Florence-2"):
        objective_for(seeing, "object-detection", ("bag",), False, 24)
    with pytest.raises(FedloraError, match="location tokens"):
        BoxTokens(load_base(BackboneConfig(name="minilm")).tokenizer)
    (folder / "preprocessor_config.json").rename(folder / "moved.json")
    try:
        with pytest.raises(FedloraError, match="preprocessor_config"):
            load_base(BackboneConfig(name=str(folder)))
    finally:
        (folder / "moved.json").rename(folder / "preprocessor_config.json")


def test_the_name_florence2_says_that_it_needs_the_network():
    with pytest.raises(FedloraError, match="'florence2' cannot be loaded"):
        load_base(BackboneConfig(name="florence2"))
