"""Adapters to tokens and back."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.errors import FedloraError
from fedlora.generators.tokens import Tokeniser, TokenScale, TokensConfig

CONFIGS = (
    TokensConfig(token_dim=384),
    TokensConfig(token_dim=9),
    TokensConfig(layout="tiles", tile=(8, 128)),
    TokensConfig(layout="tiles", tile=(3, 5)),
    TokensConfig(layout="tiles", tile=(1, 7)),
)
LAYERS = st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=4
)
HEADS = st.lists(st.lists(st.integers(1, 6), max_size=3), max_size=2)
EXTREMES = (0.0, -0.0, 1.0, -1.0, 1e-45, 3.4e38, 1e-12)


def spec_of(sizes: list[tuple[int, int, int]], heads: list[list[int]]) -> AdapterSpec:
    layers = [
        LayerSpec(f"layer.{i}", d_in, d_out, min(rank, d_in, d_out))
        for i, (d_in, d_out, rank) in enumerate(sizes)
    ]
    return AdapterSpec("base", tuple(layers), 8.0, head=tuple(
        (f"head.{i}", tuple(shape)) for i, shape in enumerate(heads)
    ))  # fmt: skip


def drawn(spec: AdapterSpec, seed: int, extremes: float = 0.0) -> LoraAdapter:
    """Values over twelve orders of magnitude, some of them replaced by extreme ones."""
    rng = torch.Generator().manual_seed(seed)
    size = torch.exp(torch.rand(spec.size, generator=rng) * 28 - 20)
    values = torch.randn(spec.size, generator=rng) * size
    chosen = torch.rand(spec.size, generator=rng) < extremes
    picks = torch.tensor(EXTREMES)[torch.randint(len(EXTREMES), (spec.size,), generator=rng)]
    return LoraAdapter.from_flat(spec, torch.where(chosen, picks, values))


@settings(max_examples=60, deadline=None)
@given(
    LAYERS, HEADS, st.sampled_from(CONFIGS), st.integers(0, 99), st.sampled_from([0.0, 0.3, 1.0])
)
def test_every_adapter_comes_back_bit_for_bit(sizes, heads, config, seed, extremes):
    adapter = drawn(spec_of(sizes, heads), seed, extremes)
    tokeniser = Tokeniser(adapter.spec, config)

    back = tokeniser.decode(tokeniser.encode(adapter))

    assert back.digest() == adapter.digest()


@settings(max_examples=30, deadline=None)
@given(LAYERS, HEADS, st.sampled_from(CONFIGS))
def test_every_value_has_one_place_and_the_rest_is_padding(sizes, heads, config):
    spec = spec_of(sizes, heads)
    tokeniser = Tokeniser(spec, config)
    assert int(tokeniser.mask[:, : tokeniser.values].sum()) == spec.size
    assert not bool(tokeniser.encode(drawn(spec, 0))[~tokeniser.mask].any())


def test_a_tile_is_a_window_of_a_matrix_beside_its_mean_and_scale():
    spec = spec_of([(10, 12, 4)], [])
    adapter = LoraAdapter.from_flat(spec, torch.randn(spec.size))
    token = Tokeniser(spec, TokensConfig(layout="tiles", tile=(2, 5))).encode(adapter)[3]

    window = adapter.down["layer.0"].double()[2:4, 5:10]  # four tiles of down: two by two
    z, mean, log = token[:10].view(2, 5), token[10:15], token[15:]
    assert torch.allclose(mean, window.mean())
    assert torch.allclose(log.exp2(), window.std(correction=0))
    assert torch.allclose(z, (window - window.mean()) / window.std(correction=0))


def test_up_is_cut_along_its_own_width():
    spec = spec_of([(10, 12, 4)], [])
    adapter = drawn(spec, 0)
    tokeniser = Tokeniser(spec, TokensConfig(layout="tiles", tile=(4, 12)))
    token = tokeniser.encode(adapter)[1]
    values = token[:48].view(4, 12) * token[-1].exp2() + token[48]
    assert torch.allclose(values.float(), adapter.up["layer.0"].T)


def test_the_published_layout_is_a_config_and_never_cuts_an_adapter_off():
    published = TokensConfig(token_dim=384, max_tokens=512)
    small = spec_of([(384, 384, 8)] * 2, [])
    tokeniser = Tokeniser(small, published)
    assert tokeniser.mask.shape == (512, 384)
    assert tokeniser.decode(tokeniser.encode(drawn(small, 1))).digest() == drawn(small, 1).digest()

    large = spec_of([(2048, 2048, 16)] * 4, [])
    needed = 8 * -(-2048 * 16 // 382)
    with pytest.raises(FedloraError, match=f"needs {needed} tokens.*raise it to {needed}"):
        Tokeniser(large, published)
    assert Tokeniser(large, TokensConfig(token_dim=384)).tokens == needed


def test_tokens_of_another_shape_or_not_finite_are_refused():
    spec = spec_of([(10, 12, 4)], [])
    tokeniser = Tokeniser(spec, CONFIGS[0])
    tokens = tokeniser.encode(drawn(spec, 0))
    with pytest.raises(FedloraError, match=re.escape(str(tuple(tokens.shape)))):
        tokeniser.decode(tokens[:, :-1])
    with pytest.raises(FedloraError, match="NaN"):
        tokeniser.decode(tokens * torch.nan)
    with pytest.raises(FedloraError, match="tokeniser's"):
        tokeniser.encode(drawn(spec.with_rank(2), 0))


@pytest.mark.parametrize("config", CONFIGS[1:], ids=str)
def test_normalised_tokens_are_deviations_from_the_bank_and_come_back(config):
    spec = spec_of([(16, 12, 4), (9, 30, 2)], [[3]])
    tokeniser = Tokeniser(spec, config)
    adapters = [LoraAdapter.from_flat(spec, torch.randn(spec.size)) for _ in range(5)]
    tokens = torch.stack([tokeniser.encode(adapter).float() for adapter in adapters])
    scale = TokenScale.of(tokeniser, tokens)
    normal = scale.normalise(tokens)

    assert torch.allclose(normal.mean(0), torch.zeros(()), atol=1e-4)
    assert not bool(normal[:, ~tokeniser.mask].any())
    assert torch.allclose(scale.restore(normal), tokens, rtol=1e-4, atol=1e-4)
    for weighting in ("uniform", "energy"):
        weights = scale.weights(weighting)
        assert float(weights.sum()) == pytest.approx(1.0)
        assert not bool(weights[~tokeniser.mask].any())


@pytest.mark.parametrize("at", [0, -1], ids=["a full token", "a token of mostly padding"])
def test_energy_weighs_an_entry_by_what_its_error_does_to_the_values(at):
    spec = spec_of([(16, 12, 4)], [[3]])
    tokeniser = Tokeniser(spec, TokensConfig(layout="tiles", tile=(4, 6)))
    adapters = [LoraAdapter.from_flat(spec, torch.randn(spec.size)) for _ in range(8)]
    tokens = torch.stack([tokeniser.encode(adapter).float() for adapter in adapters])
    scale = TokenScale.of(tokeniser, tokens)
    weights, centre = scale.weights("energy"), scale.restore(torch.zeros(tokens.shape[1:]))
    clean = tokeniser.decode(centre).flatten()
    value = int(tokeniser.mask[at, : tokeniser.values].nonzero()[0])

    def harm(entries: slice) -> float:
        nudged = torch.zeros(tokens.shape[1:])
        nudged[at, entries] = 1e-2
        return float((tokeniser.decode(scale.restore(nudged)).flatten() - clean).square().sum())

    one, mean = harm(slice(value, value + 1)), harm(slice(24, 30))
    assert float(weights[at, 24:30].sum() / weights[at, value]) == pytest.approx(
        mean / one, rel=0.05
    )
