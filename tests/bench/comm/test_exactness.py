from fedlora.bench.comm.bench import CLIENTS, svd_claims
from fedlora.bench.comm.exactness import EXACT, RANK, WIDTH, worst_errors


def test_exact_methods_are_exact_at_any_size():
    errors = worst_errors(clients=3, rank=2, width=16)

    assert set(errors) == set(EXACT)
    assert 0 < max(errors.values()) < 1e-6


def test_a_decomposition_is_called_factored_only_where_it_is():
    more, fewer = ([c.what for c in svd_claims(n, "q and v", 1.0, 2.0)] for n in CLIENTS)

    assert CLIENTS[1] * RANK < WIDTH < CLIENTS[0] * RANK
    assert all("dense where that is smaller" in what and "factored" not in what for what in more)
    assert all("640 ranks in 768: factored" in what for what in fewer)
