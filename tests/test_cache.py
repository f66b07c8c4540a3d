from fedlora import cache


def test_a_checkout_s_own_cache_is_found_without_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("FEDLORA_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    assert cache.folder() == tmp_path / "home" / ".cache" / "fedlora"
    (tmp_path / ".cache" / "fedlora").mkdir(parents=True)
    assert cache.folder() == tmp_path / ".cache" / "fedlora"
    monkeypatch.setenv("FEDLORA_DATA", "~/data")
    assert cache.folder() == tmp_path / "home" / "data"
