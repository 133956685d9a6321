"""What `mxcheck bulk` takes and refuses. Every domain is trusted by a map, so that nothing is asked outside."""

import csv
import re
from pathlib import Path

import pytest
import yaml

from mxcheck_service import cli

GOOD, AGAINST, FAILED = 0, 1, 2
HEADER = "line,input,domain,verdict,host,score,action,symbols,error\n"


class Bulk:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.output = folder / "rows"
        self._capsys = capsys
        self._config = folder / "config.yaml"
        self.configure()

    def configure(self, **more: object) -> None:
        self._config.write_text(yaml.safe_dump({"mx_check": {"exclude_domains": ["*"], **more}}))

    def write(self, *lines: str) -> Path:
        path = self.folder / "input"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def run(self, *words: object) -> tuple[int, str]:
        """Run it with the rows going to `output`; return the exit code and what is said."""
        code = cli.main(["bulk", *map(str, words), "--output", str(self.output), "--config", str(self._config)])
        return code, self._capsys.readouterr().err

    @property
    def inputs(self) -> list[str]:
        with self.output.open() as file:
            return [row["input"] for row in csv.DictReader(file)]


@pytest.fixture
def bulk(tmp_path: Path, capsys: pytest.CaptureFixture[str], root_logger: object) -> Bulk:
    return Bulk(tmp_path, capsys)


@pytest.mark.parametrize(
    ("lines", "code"), [([], GOOD), (["a.test"], GOOD), (["a.test", "no domain"], FAILED), (["192.0.2.1"], FAILED)]
)
def test_exit_code(bulk: Bulk, lines: list[str], code: int) -> None:
    assert bulk.run(bulk.write(*lines), "--quiet") == (code, "")
    assert bulk.inputs == lines


def test_the_output_is_not_overwritten(bulk: Bulk) -> None:
    bulk.output.write_text("my diary\n")
    code, said = bulk.run(bulk.write("a.test"))
    assert (code, said) == (FAILED, f"mxcheck: {bulk.output} is not empty: go on with it with --resume, or remove it\n")
    assert bulk.output.read_text() == "my diary\n"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_is_no_output_of_the_same_format_is_not_resumed(bulk: Bulk, form: str) -> None:
    bulk.output.write_text("my diary\n")
    code, said = bulk.run(bulk.write("a.test"), "--resume", "--format", form)
    assert code == FAILED
    assert said.startswith(f"mxcheck: {bulk.output}: line 1 is no")
    assert f"(--format {form})" in said
    assert bulk.output.read_text() == "my diary\n"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["a.test", "c.test", "b.test"], "has 'c.test' at line 2 instead"),
        (["a.test", "", "b.test"], "has 'b.test' at line 3 instead"),
        (["a.test"], "ends before it"),
    ],
)
def test_another_input_is_not_resumed(bulk: Bulk, lines: list[str], found: str) -> None:
    bulk.run(bulk.write("a.test", "b.test"))
    before = bulk.output.read_bytes()
    code, said = bulk.run(bulk.write(*lines), "--resume")
    assert code == FAILED
    assert f"{bulk.output}: row 2 is about line 2 of the input, 'b.test', but the input {found}: resume with" in said
    assert bulk.output.read_bytes() == before


@pytest.mark.parametrize("begun", [None, "", "line,inp", HEADER.strip(), HEADER, HEADER + "1,a.te"])
def test_resuming_what_has_not_begun_begins_it(bulk: Bulk, begun: str | None) -> None:
    if begun is not None:
        bulk.output.write_text(begun)
    assert bulk.run(bulk.write("a.test", "b.test"), "--resume", "--quiet") == (GOOD, "")
    assert bulk.inputs == ["a.test", "b.test"]
    assert bulk.output.read_text().startswith(HEADER)


def test_wherever_it_was_torn_it_is_resumed_to_the_same(bulk: Bulk) -> None:
    path = bulk.write("a.test", "# nothing", 'the "b", test', "ü.test")
    bulk.run(path)
    whole = bulk.output.read_bytes()
    for size in range(0, len(whole) + 1, 3):
        bulk.output.write_bytes(whole[:size])
        bulk.run(path, "--resume")
        assert bulk.output.read_bytes() == whole, size
    bulk.output.write_bytes(whole + b"9,a-row-that-is-longer-than-what-comes-in-its-place")
    bulk.run(path, "--resume")
    assert bulk.output.read_bytes() == whole


def test_the_rows_before_an_input_that_cannot_be_read_on_are_written(bulk: Bulk) -> None:
    path = bulk.write("mail", "a.test", '"b.test', "c.test")
    code, said = bulk.run(path, "--column", "mail")
    assert code == FAILED
    assert said == f"mxcheck: {path}: line 3: a quoted field that begins there has no end\n"
    assert bulk.inputs == ["a.test"]


def test_what_cannot_be_read_or_written(bulk: Bulk) -> None:
    assert bulk.run(bulk.folder) == (FAILED, f"mxcheck: {bulk.folder} is a directory\n")
    code, said = bulk.run(bulk.folder / "nothing")
    assert code == FAILED
    assert re.search(r"No such file.*/nothing", said)
    bulk.output = Path("/dev/full")
    code, said = bulk.run(bulk.write("a.test"))
    assert code == FAILED
    assert "No space left on device" in said


def test_resuming_needs_an_output(bulk: Bulk, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bulk", str(bulk.write("a.test")), "--resume"]) == FAILED
    assert "say with --output where they are" in capsys.readouterr().err


def test_nothing_to_check(bulk: Bulk) -> None:
    bulk.configure(check_from=False)
    code, _ = bulk.run(bulk.write("a.test"))
    assert code == FAILED
    assert "was not checked: mx_check.check_from is off" in bulk.output.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--concurrency", "0"), "'0' is not a number from 1"),
        (("--per-mx", "x"), "'x' is not a number from 1"),
        (("--column", "0"), "'0' is not a number from 1"),
        (("--deadline", "0"), "'0' is not a number above 0, 3600 at most"),
        (("--deadline", "soon"), "'soon' is not a number above 0, 3600 at most"),
        (("--delimiter", "||"), "'||' is not one character (or `tab`)"),
    ],
)
def test_options_that_make_no_sense(words: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["bulk", "-", *words])
    assert said in capsys.readouterr().err
