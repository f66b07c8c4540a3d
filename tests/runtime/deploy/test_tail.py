from fedlora.runtime.deploy.tail import Tail


def test_marked_lines_are_told_once_and_a_line_that_is_being_written_later(tmp_path):
    log = tmp_path / "log"
    log.write_text("fedlora: of an earlier start\n")
    tail = Tail(log)
    assert tail.lines() == []

    with log.open("a") as file:
        file.write("INFO : fedlora: not answered: x\nsomething else\nWARNING: fedlora: ha")
        file.flush()
        assert tail.lines() == ["not answered: x"]
        file.write("lf\n")
        file.flush()
        assert tail.lines() == ["half"]
        assert tail.lines() == []


def test_a_log_that_is_not_there_yet_says_nothing_until_it_is(tmp_path):
    tail = Tail(tmp_path / "log")
    assert tail.lines() == []
    (tmp_path / "log").write_text("fedlora: first\n")
    assert tail.lines() == ["first"]


def test_a_log_that_was_rotated_goes_on_from_its_start(tmp_path):
    log = tmp_path / "log"
    log.write_text("fedlora: of an earlier start, and long\n")
    tail = Tail(log)
    log.write_text("fedlora: new\n")
    assert tail.lines() == ["new"]
