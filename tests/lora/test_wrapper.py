"""Wrapped, any federated model keeps its ways."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fedlora.errors import FedloraError
from fedlora.lora import LoRAConfig, LoRAWrapper
from tests.lora.small import Plain


def data(seed: int = 0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(64, 6, generator=draw)
    return x, (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()


def federated_script(model):
    """A round of somebody's federation."""
    x, y = data()
    model = model.to("cpu")
    model.set_parameters(model.get_parameters())
    losses = [model.train_step(x, y) for _ in range(60)]
    return losses, model.evaluate(x, y)["accuracy"]


def plain_torch_script(model):
    """The same without the four methods: an optimiser over everything."""
    x, y = data()
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses, model.evaluate(x, y)["accuracy"]


def adapted(**config) -> LoRAWrapper:
    torch.manual_seed(0)
    settings = LoRAConfig(**{"r": 3, "lora_alpha": 6, "lora_dropout": 0.0} | config)
    return LoRAWrapper(Plain(), settings).apply_lora_to_federated_model()


@pytest.mark.parametrize("script", [federated_script, plain_torch_script])
def test_one_script_trains_a_plain_and_a_wrapped_model(script):
    plain, wrapped = Plain(), adapted()
    parameters = dict(wrapped.federated_model.named_parameters())
    frozen = {name: p.clone() for name, p in parameters.items() if not p.requires_grad}

    (before, *_, after), accuracy = script(plain)
    (before_lora, *_, after_lora), accuracy_lora = script(wrapped)

    assert before_lora == pytest.approx(before, abs=1e-6)
    assert after < before / 2
    assert after_lora < before / 2
    assert min(accuracy, accuracy_lora) > 0.8
    own = dict(wrapped.federated_model.named_parameters())
    assert all(torch.equal(own[name], value) for name, value in frozen.items())


def test_an_attribute_of_the_model_is_read_and_set_through_the_wrapper():
    wrapper = adapted()

    wrapper.learning_rate = 0.7
    wrapper.note = "new"

    assert wrapper.federated_model.learning_rate == wrapper.learning_rate == 0.7
    assert wrapper.federated_model.note == wrapper.note == "new"
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = wrapper.no_such_thing


def test_the_model_s_own_optimiser_forgets_the_adapter_when_it_is_merged():
    wrapper, (x, y) = adapted(), data()
    optimizer = wrapper.federated_model.optimizer
    wrapper.train_step(x, y)
    assert len(optimizer.param_groups[0]["params"]) == 8

    model = wrapper.merge_and_unload()
    before = model.first.weight.clone()
    model.train_step(x, y)

    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [
        id(p) for p in model.parameters()
    ]
    assert not torch.equal(model.first.weight, before)


class Deeper(Plain):
    """Its optimiser is in a dictionary."""

    def __init__(self):
        super().__init__()
        self.parts = {"optimizer": torch.optim.Adam(self.parameters(), 0.05)}
        del self.optimizer, self.schedule

    def train_step(self, data, labels):
        loss = functional.cross_entropy(self(data), labels)
        self.parts["optimizer"].zero_grad()
        loss.backward()
        self.parts["optimizer"].step()
        return loss.item()


def test_an_optimiser_that_the_model_keeps_deeper_trains_the_adapter_until_it_is_merged():
    plain, x, y = Deeper(), *data()
    wrapper = LoRAWrapper(Deeper(), LoRAConfig(r=3)).apply_lora_to_federated_model()
    optimizer = wrapper.federated_model.parts["optimizer"]

    before, *_, after = [wrapper.train_step(x, y) for _ in range(60)]
    assert after < before / 2
    assert len(optimizer.param_groups[0]["params"]) == 8

    model = wrapper.merge_and_unload()
    assert optimizer.param_groups[0]["params"] == list(model.parameters())
    assert len(optimizer.state) == 0
    model.train_step(x, y)
    assert not torch.equal(model.first.weight, plain.first.weight)


def test_an_optimiser_from_before_wrapping_trains_the_adapter_and_no_other_one_does():
    model, other, (x, y) = Plain(), Plain(), data()
    ours = torch.optim.Adam([{"params": model.first.parameters(), "lr": 0.01},
                             {"params": model.second.parameters(), "lr": 0.1}])  # fmt: skip
    others = torch.optim.Adam(other.parameters())
    wrapper = LoRAWrapper(model, LoRAConfig(r=3)).apply_lora_to_federated_model()
    before = wrapper.get_parameters()
    for optimizer, one in ((ours, wrapper), (others, other)):
        functional.cross_entropy(one(x), y).backward()
        optimizer.step()

    assert [len(group["params"]) for group in ours.param_groups] == [4, 4]
    assert len(others.param_groups[0]["params"]) == 4
    changed = [np.abs(a - b).max() for a, b in zip(wrapper.get_parameters(), before, strict=True)]
    assert changed == pytest.approx([0, 0.01, 0, 0.1], abs=1e-4)  # down has no gradient yet


def test_a_copy_of_a_wrapped_model_trains_and_is_merged_by_itself():
    wrapper, (x, y) = adapted(), data()
    wrapper.train_step(x, y)
    before = wrapper.get_parameters()

    copied = copy.deepcopy(wrapper)
    copied.train_step(x, y)
    merged = copied.merge_and_unload()

    assert len(merged.optimizer.param_groups[0]["params"]) == 4
    assert len(wrapper.optimizer.param_groups[0]["params"]) == 8
    assert all(np.array_equal(a, b) for a, b in zip(before, wrapper.get_parameters(), strict=True))


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_s_optimiser_trains_the_copy_wherever_it_is_kept(copied, steps):
    wrapper, (x, y) = LoRAWrapper(Deeper(), LoRAConfig(r=3)), data()
    wrapper.apply_lora_to_federated_model()
    for _ in range(steps):
        wrapper.train_step(x, y)
    kept = wrapper.get_parameters()

    other = copied(wrapper)
    before, *_, after = [other.train_step(x, y) for _ in range(60)]

    assert after < 0.7 * before
    assert all(np.array_equal(a, b) for a, b in zip(kept, wrapper.get_parameters(), strict=True))
    merged = other.merge_and_unload()
    optimizer = merged.parts["optimizer"]
    assert optimizer.param_groups[0]["params"] == list(merged.parameters())


class ByHand(Plain):
    """It moves tensors that it took before it was wrapped."""

    def __init__(self):
        super().__init__()
        self.taken = list(self.parameters())

    def train_step(self, data, labels):
        loss = functional.cross_entropy(self(data), labels)
        loss.backward()
        with torch.no_grad():
            for tensor in self.taken:
                if tensor.grad is not None:
                    tensor.sub_(0.1 * tensor.grad)
        return loss.item()


def test_who_trains_nothing_is_told_once():
    wrapper, (x, y) = LoRAWrapper(ByHand()).apply_lora_to_federated_model(), data()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for model in (wrapper, adapted()):
            for _ in range(80):
                model.train_step(x, y)

    assert ["train_step has changed nothing" in str(one.message) for one in told] == [True]


def test_parameters_are_found_by_the_names_that_they_have_in_the_model():
    wrapper, (x, y) = adapted(), data()
    ends = [
        {"params": [p for n, p in wrapper.named_parameters() if n.startswith(start)], "lr": rate}
        for start, rate in (("first", 0.0), ("second", 0.5))
    ]
    before = wrapper.get_parameters()
    optimizer = torch.optim.SGD(ends)
    functional.cross_entropy(wrapper(x), y).backward()
    optimizer.step()

    moved = [
        not np.array_equal(a, b) for a, b in zip(before, wrapper.get_parameters(), strict=True)
    ]
    assert moved == [False, False, False, True]


class Furnished(Plain):
    """Buffers that are no statistics, and a state that is no tensor."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
        self.register_buffer("table", torch.zeros(1000))

    def get_extra_state(self):
        return {"rounds": 3}

    def set_extra_state(self, state): ...


@pytest.mark.parametrize("only", [True, False])
def test_constants_of_a_model_stay_at_home_and_do_not_hinder(only):
    torch.manual_seed(0)
    wrapper = LoRAWrapper(Furnished(), LoRAConfig(r=3, save_only_trainable=only))
    wrapper.apply_lora_to_federated_model()
    values = wrapper.get_parameters()

    wrapper.set_parameters(values)

    assert len(values) == (4 if only else 10)


@pytest.mark.parametrize(("bias", "tensors"), [("none", 4), ("lora_only", 6), ("all", 6)])
def test_what_trains_is_what_travels(bias, tensors):
    wrapper, (x, y) = adapted(bias=bias), data()
    plain = Plain().eval()
    before = [value.copy() for value in wrapper.get_parameters()]
    for _ in range(3):
        wrapper.train_step(x, y)
    wrapper.eval()
    trained = wrapper(x)

    wrapper.disable_lora_layers()
    assert torch.equal(wrapper(x), plain(x))
    with pytest.raises(FedloraError, match="nothing trains: call enable_lora_layers"):
        wrapper.train_step(x, y)
    values = wrapper.get_parameters()  # the adapter's, enabled or not
    assert len(values) == tensors
    assert all(not np.array_equal(a, b) for a, b in zip(values, before, strict=True))
    wrapper.enable_lora_layers()
    assert torch.equal(wrapper(x), trained)


def test_an_adapter_alone_and_a_whole_model_go_there_and_back():
    for only in (True, False):
        one, two, (x, y) = (
            adapted(save_only_trainable=only),
            adapted(save_only_trainable=only),
            data(),
        )
        one.train_step(x, y)
        one.eval(), two.eval()
        assert not torch.equal(one(x), two(x))

        two.set_parameters(one.get_parameters())

        assert torch.equal(one(x), two(x))
        assert len(one.get_parameters()) == (4 if only else 8)


def test_targets_are_full_names_or_their_ends_and_nothing_else():
    class Deep(Plain):
        def __init__(self):
            super().__init__()
            self.inner = nn.ModuleDict({"first": nn.Linear(2, 2), "not_first": nn.Linear(2, 2)})

    both = LoRAWrapper(Deep(), LoRAConfig(r=1, target_modules=["first"]))
    one = LoRAWrapper(Deep(), LoRAConfig(r=1, target_modules=["inner.first"]))

    assert both.target_layers() == ["first", "inner.first"]
    assert both.apply_lora_to_federated_model().target_layers() == ["first", "inner.first"]
    assert one.apply_lora_to_federated_model().injection.layers == ("inner.first",)
    assert type(one.federated_model.first) is nn.Linear


def test_layers_that_peft_cannot_adapt_and_take_out_again_are_left_alone():
    class Odd(Plain):
        def __init__(self):
            super().__init__()
            self.grouped = nn.Conv1d(4, 4, 1, groups=2)
            self.computed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))

    assert LoRAWrapper(Odd()).target_layers() == ["first", "second"]
    for name, why in (("grouped", "it is a convolution in groups"), ("computed", "not there yet")):
        with pytest.raises(FedloraError, match=f"'{name}' cannot be adapted, since .*{why}; leave"):
            LoRAWrapper(Odd(), LoRAConfig(r=3, target_modules=[name])).target_layers()


class Loud(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(("layer", "why"), [
    (nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular"), "whose padding is not zeros"),
    (nn.Conv2d(4, 4, 3, dilation=2), "a dilated convolution"),
    (nn.Embedding(4, 4, max_norm=1.0), "whose rows are cut to a norm"),
    (nn.LazyLinear(4), "not there yet"),
    (Loud(4, 4), "a Linear with a forward of its own"),
])  # fmt: skip
def test_layers_that_compute_otherwise_are_left_alone(layer, why):
    model = Plain()
    model.odd = layer

    assert LoRAWrapper(model).target_layers() == ["first", "second"]
    with pytest.raises(FedloraError, match=f"'odd' cannot be adapted, since .*{why}; leave"):
        LoRAWrapper(model, LoRAConfig(target_modules=["odd"])).target_layers()


def test_layers_that_share_a_weight_are_left_alone():
    class Tied(Plain):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(8, 6)
            self.unembed = nn.Linear(6, 8, bias=False)
            self.unembed.weight = self.words.weight
            self.again = self.twice = nn.Linear(6, 6)
            self.view = nn.Linear(6, 6)
            self.view.weight.data = self.again.weight.data

    assert LoRAWrapper(Tied()).target_layers() == ["first", "second"]
    for name, other in (
        ("words", "unembed"),
        ("unembed", "words"),
        ("twice", "again"),
        ("view", "again"),
    ):
        with pytest.raises(FedloraError, match=f"its weight is that of '{other}.weight' too"):
            LoRAWrapper(Tied(), LoRAConfig(target_modules=[name])).target_layers()


class Normalised(Plain):
    """A model of models, with running statistics."""

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.0))

    def forward(self, x):
        return super().forward(self.model(x))


def test_running_statistics_travel_and_are_put_aside_with_the_adapter():
    x, y = data()
    plain, one, two = (Normalised() for _ in range(3))
    one, two = (LoRAWrapper(m).apply_lora_to_federated_model() for m in (one, two))
    for _ in range(5):
        one.train_step(3 * x + 1, y)
    two.set_parameters(one.get_parameters())
    for model in (plain, one, two):
        model.eval()

    assert torch.equal(one(x), two(x))
    assert not torch.equal(one(x), plain(x))
    one.disable_lora_layers()
    assert torch.equal(one(x), plain(x))


def test_a_model_s_own_model_is_reached_and_replaced_through_the_wrapper():
    wrapper = LoRAWrapper(Normalised()).apply_lora_to_federated_model()
    assert isinstance(wrapper.model[0], nn.BatchNorm1d)

    wrapper.model = nn.Sequential(nn.Identity())

    assert isinstance(wrapper.federated_model.model[0], nn.Identity)


def test_a_gradient_from_before_does_not_move_what_is_frozen():
    model, (x, y) = Plain(), data()
    model.train_step(x, y)
    model.optimizer.zero_grad(set_to_none=False)
    wrapper = LoRAWrapper(model).apply_lora_to_federated_model()
    before = model.first.base_layer.weight.clone()

    wrapper.train_step(x, y)

    assert torch.equal(model.first.base_layer.weight, before)


def test_layers_that_are_read_and_never_called_are_left_alone():
    class Encoder(Plain):
        def __init__(self):
            super().__init__()
            self.block = nn.TransformerEncoderLayer(4, 2, 8)

    assert LoRAWrapper(Encoder()).target_layers() == ["first", "second"]
    with pytest.raises(
        FedloraError, match=r"'block\.linear1' cannot be adapted, since its module reads"
    ):
        LoRAWrapper(Encoder(), LoRAConfig(target_modules=["linear1"])).target_layers()


def test_bad_input_is_named_and_leaves_the_model_unchanged():
    with pytest.raises(
        FedloraError, match=r"Linear cannot be wrapped.*; get_parameters is missing"
    ):
        LoRAWrapper(nn.Linear(2, 2))
    with pytest.raises(
        FedloraError, match=r"target_modules: no layer .*'frist'; did you mean 'first'"
    ):
        adapted(target_modules=["frist"])
    with pytest.raises(FedloraError, match="list is empty"):
        adapted(target_modules=[])
    with pytest.raises(FedloraError, match="call apply_lora_to_federated_model"):
        LoRAWrapper(Plain()).disable_lora_layers()
    for wrapped in (adapted(), adapted().federated_model):
        with pytest.raises(FedloraError, match="has an adapter already"):
            LoRAWrapper(wrapped)

    class Misspelt(LoRAWrapper):
        def trained_beside(self):
            return ["secnd.bias"]

    with pytest.raises(FedloraError, match=r"trained_beside: .* no parameter 'secnd\.bias'"):
        Misspelt(Plain()).apply_lora_to_federated_model()
    model = Plain()
    one, two = LoRAWrapper(model), LoRAWrapper(model)
    one.apply_lora_to_federated_model()
    with pytest.raises(FedloraError, match="has an adapter already"):
        two.apply_lora_to_federated_model()
    with pytest.raises(FedloraError, match="Plain has no transformer"):
        adapted().enable_gradient_checkpointing()

    model = Plain()
    names = [name for name, _ in model.named_parameters()]
    with pytest.raises(FedloraError):
        LoRAWrapper(
            model, LoRAConfig(target_modules=["first", "third"])
        ).apply_lora_to_federated_model()
    assert [name for name, p in model.named_parameters() if p.requires_grad] == names


@pytest.mark.parametrize("spoil", [
    lambda v: v[:-1],
    lambda v: [*v[:-1], v[-1][:1]],
    lambda v: [v[0] + 1, *v[1:-1], v[-1].T],
    lambda v: [v[0] + 1, *v[1:-1], [[1], [1, 2]]],
    lambda v: [v[0] + 1, *v[1:-1], np.full_like(v[-1], np.inf)],
    lambda v: [v[0] + 1, *v[1:-1], np.full_like(v[-1], 1e300, dtype=np.float64)],
    lambda v: [v[0] + 1, *v[1:-1], v[-1].astype(np.complex64)],
])  # fmt: skip
def test_parameters_that_do_not_fit_change_nothing(spoil):
    wrapper = adapted()
    before = wrapper.get_parameters()

    with pytest.raises(
        FedloraError, match=r"parameters? .*(4 expected|, not \(|array of (real )?numbers|infinity)"
    ):
        wrapper.set_parameters(spoil(before))

    assert all(np.array_equal(a, b) for a, b in zip(before, wrapper.get_parameters(), strict=True))


@pytest.mark.parametrize(("setting", "message"), [
    ({"r": 0}, "r: .*greater than or equal to 1"),
    ({"lora_dropout": 1.0}, "lora_dropout"),
    ({"rank": 4}, "rank: unknown key; choose one of .*"),
    ({"bias": "some"}, "bias: "),
    ({"target_modules": "first"}, r"target_modules: write \[first\], a list of names, or auto"),
])  # fmt: skip
def test_a_wrong_setting_is_one_line(setting, message):
    with pytest.raises(FedloraError, match=message):
        LoRAConfig(**setting)


def test_the_defaults_and_presets_are_these():
    config = LoRAConfig()
    head = LoRAConfig.for_classification_head()

    assert (config.r, config.lora_alpha, config.lora_dropout) == (16, 32, 0.1)
    assert (config.target_modules, config.bias, config.save_only_trainable) == (
        "auto",
        "none",
        True,
    )
    assert [LoRAConfig.for_clip_model(r).lora_alpha for r in (8, 16, 32)] == [16, 32, 64]
    assert LoRAConfig.for_clip_model(r=8, lora_alpha=8).lora_alpha == 8
    assert (head.r, head.lora_alpha) == (8, 16)
