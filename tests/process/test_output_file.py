"""Files of commands: what exists is lost to nothing but a whole file and `--force`."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.process.output_file import check_output, open_output, whole_output


def write_half(path: Path, error: BaseException) -> None:
    with whole_output(path, force=True) as sink:
        sink.write(b"half")
        raise error


def write_while_another_does(path: Path) -> None:
    with whole_output(path, force=False) as sink:
        sink.write(b"mine")
        path.write_bytes(b"another's")


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_whose_writing_fails_leaves_what_was_there(tmp_path: Path, name: str, error: BaseException) -> None:
    path = tmp_path / name
    for before in (None, b"older"):
        if before is not None:
            path.write_bytes(before)
        with pytest.raises(type(error)):
            write_half(path, error)
        assert [found.read_bytes() for found in tmp_path.iterdir()] == ([] if before is None else [before])


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.gz"
    with whole_output(path, force=False) as sink:
        sink.write(b"all of it")
        sink.flush()
        assert not path.exists()
    assert gzip.decompress(path.read_bytes()) == b"all of it"
    assert [found.name for found in tmp_path.iterdir()] == ["out.gz"]


def test_a_file_that_comes_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(ConfigError, match="exists already"):
        write_while_another_does(path)
    with pytest.raises(ConfigError, match="exists already"):
        open_output(path, force=False)
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("out", b"another's")]


def test_a_replaced_file_keeps_its_mode_and_a_link_to_it_stays_one(tmp_path: Path) -> None:
    path, link = tmp_path / "out", tmp_path / "link"
    path.write_bytes(b"older")
    path.chmod(0o640)
    link.symlink_to(path)
    with whole_output(link, force=True) as sink:
        sink.write(b"newer")
    assert link.is_symlink()
    assert path.read_bytes() == b"newer"
    assert path.stat().st_mode & 0o777 == 0o640


def test_devices_are_written_as_they_are(tmp_path: Path) -> None:
    check_output(Path("/dev/null"), force=False)
    with whole_output(Path("/dev/null"), force=False) as sink:
        sink.write(b"x")
    with open_output(Path("/dev/null"), force=False) as sink:
        sink.write(b"x")
    with pytest.raises(ConfigError, match="Is a directory"):
        check_output(tmp_path, force=True)
    with pytest.raises(ConfigError, match="No such file"):
        check_output(tmp_path / "no" / "x", force=False)
