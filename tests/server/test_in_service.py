"""What serves newcomers after a run is what served its own."""

import json
from pathlib import Path

import pytest
import torch

from fedlora.adapter.span import AdapterSpan
from fedlora.backbone import open_slot
from fedlora.bank import Bank
from fedlora.errors import FedloraError
from fedlora.generators.kriging import Kriging
from fedlora.server.in_service import folder_in_service, open_service
from fedlora.server.standing import Standing
from fedlora.wire.message import Message, decode, encode
from tests.conftest import small_config
from tests.server.test_federation import live

TOPK = {"policy": {"name": "given", "method": "topk"}}


def test_a_bank_that_grew_is_served_from_by_what_it_grew(tmp_path: Path) -> None:
    config = small_config(
        growth={"rounds": 1, "train": {"epochs": 1, "batch_size": 8}},
        adoption={"policy": {"name": "given", "method": "grown"}},
    )
    seed = tmp_path / "seed-0"
    seed.mkdir()
    live(config, seed)
    bank = Bank.open(seed / "newcomers")
    record = bank.records()[0]

    standing = Standing(config, tmp_path, 0)

    assert folder_in_service(config, seed) == seed / "growth"
    assert isinstance(standing._service.generator, Kriging)
    spec = open_slot(config.backbone, config.lora, "cpu").spec
    meta = {"spec": bank.load(record.digest).spec.to_json()}
    answer = standing.offer(encode(Message("task_vector", {"vector": bank.vector(record)}, meta)))
    served = config.codec.build().decode(
        decode(answer, 1 << 24).tensors["adapter.generated"], bank.load(record.digest).spec
    )
    assert served.spec.layers == spec.layers
    # what the run's own newcomer of this task received
    away = AdapterSpan([served, bank.load(record.digest)])
    assert away.norm(torch.tensor([1.0, -1.0])) < 1e-5 * away.norm(torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("otherwise", ["nearest", "warm"])
def test_a_foreign_task_is_told_so_after_the_run_too(tmp_path: Path, otherwise: str) -> None:
    policy = {"name": "guarded", "method": "topk", "otherwise": otherwise, "beyond": 4.0}
    config = small_config(adoption={"policy": policy})
    seed = tmp_path / "seed-0"
    seed.mkdir()
    live(config, seed)
    bank = Bank.open(seed / "bank").training_bank()
    service = open_service(config, seed)

    near, far = bank.conditions[0], 50 * bank.conditions[0]
    (made,), foreign = service.serve(near, seed=0, rank=2)
    assert foreign is None
    assert made.digest() == service.generator.sample(near[None], seed=0, rank=2)[0].digest()
    (given,), distance = service.serve(far, seed=0, rank=2, samples=3)
    assert distance is not None
    assert distance > 4.0
    assert service.guard is not None
    ((nearest, _),) = service.guard.neighbours(far, 1)
    expected = service.warm if otherwise == "warm" else nearest
    assert expected is not None
    assert AdapterSpan([given, expected]).norm(torch.tensor([1.0, -1.0])) < 1e-4
    assert (service.warm is not None) == (otherwise == "warm")

    meta = {"spec": given.spec.to_json()}
    asked = encode(Message("task_vector", {"vector": far}, meta))
    answer = decode(Standing(config, tmp_path, 0).offer(asked), 1 << 24)
    assert answer.meta["foreign"] == pytest.approx(distance)

    (seed / "guard.safetensors").write_bytes(b"?")
    if otherwise == "warm":
        with pytest.raises(FedloraError, match=r"guard\.safetensors: damaged"):
            open_service(config, seed)


def test_a_folder_serves_its_generator_unless_another_method_was_kept(tmp_path: Path) -> None:
    generated, retrieved = small_config(), small_config(adoption=TOPK)
    assert folder_in_service(generated, tmp_path) == tmp_path / "generator"
    assert folder_in_service(retrieved, tmp_path) == tmp_path / "generator"  # an older run
    (tmp_path / "serving").mkdir()
    assert folder_in_service(retrieved, tmp_path) == tmp_path / "serving"
    assert folder_in_service(generated, tmp_path) == tmp_path / "generator"


def test_what_a_trial_chose_serves(tmp_path: Path) -> None:
    config = small_config(adoption={"policy": {"name": "chosen", "among": ["topk", "generated"]}})
    (tmp_path / "serving").mkdir()
    for chosen, name in (("generated", "generator"), ("topk", "serving")):
        (tmp_path / "trial.json").write_text(json.dumps({"chosen": chosen, "losses": {}}))
        assert folder_in_service(config, tmp_path) == tmp_path / name
    (tmp_path / "trial.json").write_text("{")
    with pytest.raises(FedloraError, match=r"trial\.json: damaged"):
        folder_in_service(config, tmp_path)
