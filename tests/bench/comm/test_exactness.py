from fedlora.bench.comm.exactness import EXACT, worst_errors


def test_exact_methods_are_exact_at_any_size():
    errors = worst_errors(clients=3, rank=2, width=16)

    assert set(errors) == set(EXACT)
    assert 0 < max(errors.values()) < 1e-6
