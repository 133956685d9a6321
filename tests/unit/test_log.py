"""Log lines: one a record, nothing from the wire gets at the terminal, repeats are held back."""

import json
import logging
import sys
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from mxcheck_service.log import (
    MASK,
    MOST_KINDS,
    REPEAT_SECONDS,
    SHORTEST_SECRET,
    Formatter,
    HoldRepeats,
    Line,
    LogFormat,
    configure,
    escape,
    reconfigure,
)
from tests.unit.fakes import FakeClock


def record(message: str, *args: object, level: int = logging.WARNING, name: str = "mxcheck") -> logging.LogRecord:
    made = logging.LogRecord(name, level, __file__, 1, message, args, None)
    made.created, made.msecs = 0.25, 250.0
    return made


def crashed() -> logging.LogRecord:
    made = record("lookup of %s crashed", "d.example", level=logging.ERROR)
    try:
        raise ValueError("line one\nline \x1b[31mtwo")
    except ValueError:
        made.exc_info = sys.exc_info()
    return made


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain, with \u00fc and \u2603", "plain, with \u00fc and \u2603"),
        ("a\r\nb", "a\\u000d\\u000ab"),
        ("\x00\x07\x1b[31m\x7f", "\\u0000\\u0007\\u001b[31m\\u007f"),
        ("a\tb", "a\\u0009b"),
        ("\x80\x85\x9b\x9f", "\\u0080\\u0085\\u009b\\u009f"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ud800\udfff", "\\ud800\\udfff"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_control_characters_line_separators_and_lone_surrogates_are_escaped(text: str, escaped: str) -> None:
    assert escape(text) == escaped
    assert escape(text).encode()


def test_text_line() -> None:
    assert Formatter("text").format(record("cache of %s", "a\nb")) == (
        "1970-01-01T00:00:00.250Z warning cache of a\\u000ab"
    )


def test_json_line() -> None:
    line = Formatter("json").format(record('say "%s"', "\u00fc\x1b\ud800", level=logging.INFO))
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "info",
        "logger": "mxcheck",
        "message": 'say "\u00fc\\u001b\\ud800"',
    }
    assert line.encode()


@pytest.mark.parametrize("kind", ["text", "json"])
@pytest.mark.parametrize(
    ("char", "shown"),
    [
        ("\u202e", "\\u202e"),
        ("\u2066", "\\u2066"),
        ("\u200b", "\\u200b"),
        ("\ufeff", "\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_turns_the_direction_or_cannot_be_seen_is_escaped(kind: LogFormat, char: str, shown: str) -> None:
    line = Formatter(kind).format(record(f"a{char}\u00fc\u6f22b"))
    assert char not in line
    assert f"a{shown}\u00fc\u6f22b" in (json.loads(line)["message"] if kind == "json" else line)


@pytest.mark.parametrize("kind", ["text", "json"])
def test_traceback_stays_on_the_line_of_its_record(kind: LogFormat) -> None:
    line = Formatter(kind).format(crashed())
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "ValueError: line one" in line
    assert "lookup of d.example crashed" in line
    if kind == "json":
        assert json.loads(line)["exception"].startswith("Traceback")


def test_repeats_of_one_kind_are_held_back_and_counted() -> None:
    clock = FakeClock()
    hold = HoldRepeats(clock)
    assert hold.filter(record("Redis is lost: %s", "a"))
    for seconds in (0, 1, REPEAT_SECONDS - 1.001):
        clock.now += seconds
        assert not hold.filter(record("Redis is lost: %s", "other arguments"))
    clock.now += 0.01
    late = record("Redis is lost: %s", "b")
    assert hold.filter(late)
    assert late.getMessage() == "Redis is lost: b (3 more like this since)"
    clock.now += REPEAT_SECONDS
    again = record("Redis is lost: %s", "c")
    assert hold.filter(again)
    assert again.getMessage() == "Redis is lost: c"


def test_messages_of_another_kind_or_logger_are_not_held_back() -> None:
    hold = HoldRepeats(FakeClock())
    assert hold.filter(record("one"))
    assert hold.filter(record("two"))
    assert hold.filter(record("one", name="other"))
    assert hold.filter(record("three", level=logging.ERROR))


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_what_is_less_than_a_warning_is_never_held_back(level: int) -> None:
    hold = HoldRepeats(FakeClock())
    assert all(hold.filter(record("same", level=level)) for _ in range(3))


def test_a_template_without_words_is_no_kind() -> None:
    hold = HoldRepeats(FakeClock())
    assert hold.filter(record("%s", "line 1 of the map is odd"))
    assert hold.filter(record("%s", "line 2 of the map is odd"))
    assert not hold.filter(record("%s", "line 2 of the map is odd"))


def test_so_many_kinds_are_told_apart_and_those_seen_last() -> None:
    hold = HoldRepeats(FakeClock())
    for number in range(MOST_KINDS):
        assert hold.filter(record(f"kind {number}"))
    assert not hold.filter(record("kind 0"))
    assert hold.filter(record("one more"))
    assert not hold.filter(record("kind 0"))
    assert hold.filter(record("kind 1"))


def line(kind: LogFormat, message: str = "check", *secrets: str, **fields: object) -> str:
    """What is written of an event of structlog's."""
    event = {"event": message, "logger": "mxcheck", "created": 0.25} | fields
    return Line(kind, secrets)(None, "info", event).decode()


def test_fields_follow_in_both_forms() -> None:
    pairs = [{"a": "x", "b": "y"}, {"a": "z", "b": "w"}]
    fields: dict[str, Any] = {"none": None, "no": [], "yes": True, "score": -0.1, "list": pairs}
    assert line("text", **fields) == "1970-01-01T00:00:00.250Z info    check yes=true score=-0.1 list=x/y,z/w"
    head = {"time": "1970-01-01T00:00:00.250Z", "level": "info", "logger": "mxcheck", "message": "check"}
    assert json.loads(line("json", **fields)) == head | fields


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("no action", '"no action"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "a"', '"say \\"a\\""'),
        ("a\\", '"a\\\\"'),
        ("a\n", '"a\\u000a"'),
        (["a b", "c"], '"a b,c"'),
        ("\u00a0", '"\\u00a0"'),
    ],
)
def test_text_quotes_what_could_be_taken_for_more_than_one_field(value: object, shown: str) -> None:
    assert line("text", value=value).endswith(f"check value={shown}")


@given(st.text(st.characters()), st.sampled_from(["text", "json"]))
def test_no_text_gets_out_of_its_line(text: str, kind: LogFormat) -> None:
    written = line(kind, text, field=text, list=[{"a": text}])
    assert escape(written) == written
    assert len(written.splitlines()) == 1
    if kind == "json":
        told = json.loads(written)
        assert told["message"] == told["field"] == told["list"][0]["a"] == escape(text)
    formatted = Formatter(kind).format(record("%s", text))
    assert escape(formatted) == formatted


SECRET = 'p@ss "w:rd\u00e4'


@pytest.mark.parametrize("kind", ["text", "json"])
@pytest.mark.parametrize("form", [SECRET, "p%40ss%20%22w%3Ard%C3%A4"])
def test_a_secret_is_masked_wherever_it_stands(form: str, kind: LogFormat) -> None:
    for written in (
        line(kind, f"sent {form}!", SECRET, field=form, list=[{"a": form}]),
        Formatter(kind, [SECRET]).format(record("sent %s!", form)),
    ):
        assert "**********" in written
        assert "ss" not in written.replace("message", "")
        assert "sent **********!" in written


def test_a_secret_that_is_also_a_short_word_is_not_looked_for() -> None:
    assert "redis" in line("text", "redis is lost", "redis"[: SHORTEST_SECRET - 1], "")
    assert "secret" not in line("text", "secret", "s" * 40, "secret")


def test_a_secret_within_another_one_leaves_nothing_of_it() -> None:
    assert line("text", "sent secret-token", "secret", "secret-token").endswith("sent **********")


def test_configure_gives_structlog_the_same_place_and_form(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("warning", "json", ["a-secret"])
    structlog.get_logger().bind(logger="test").info("one", field="a-secret")
    captured = capsys.readouterr()
    assert captured.out == ""
    (written,) = captured.err.splitlines()
    assert (
        json.loads(written).items()
        >= {"level": "info", "logger": "test", "message": "one", "field": "**********"}.items()
    )


def test_configure_sends_the_log_to_standard_error(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("warning", "json")
    logger = logging.getLogger("mxcheck_service.test")
    logger.info("not this")
    logger.warning("but this")
    logger.warning("but this")
    assert root_logger.level == logging.WARNING
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["message"] for line in captured.err.splitlines()] == ["but this"]


def test_configured_again_it_masks_new_secrets(root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "text", {"a secret"})
    reconfigure("info", "text", {"another secret"})
    logging.getLogger("test").info("seen, without another secret")
    structlog.get_logger().bind(logger="test").info("seen, without another secret")
    told = capsys.readouterr().err
    assert told.count(f"seen, without {MASK.decode()}") == 2


def test_what_was_never_configured_is_not_configured_again(root_logger: logging.Logger) -> None:
    before = list(root_logger.handlers)
    reconfigure("info", "text", set())
    assert root_logger.handlers == before
    assert not structlog.is_configured()
