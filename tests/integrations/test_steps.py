"""Steps of an integration: done, undone exactly, and taken back when one of them fails."""

from __future__ import annotations

import json
import stat
import sys
from functools import partial

import pytest

from taskferry_apps.integrations.edits import with_toml_server
from taskferry_apps.integrations.steps import (
    EditFile,
    IntegrationFailed,
    KeepFile,
    Record,
    RunProgram,
    Step,
    WriteFolder,
    apply,
    undo,
)

EDIT = partial(with_toml_server, command=("taskferry", "mcp"))
THEIRS = b'# mine\r\nmodel = "x"   # odd   spacing\r\n[mcp_servers.other]\r\ncommand = "o"'


def quiet(_):
    """Nobody listens."""


def program(folder, word, code=0):
    """A command that leaves a file, or fails."""
    script = f"import sys,pathlib; pathlib.Path({str(folder / word)!r}).touch(); sys.exit({code})"
    return (sys.executable, "-c", script)


@pytest.fixture
def record(tmp_path):
    """An empty record."""
    return Record(tmp_path / "own", "codex")


@pytest.fixture
def config(tmp_path):
    """A configuration of somebody's, with a mode of its own."""
    path = tmp_path / "config.toml"
    path.write_bytes(THEIRS)
    path.chmod(0o640)
    return path


def test_undo_restores_every_byte_and_the_mode(tmp_path, record, config):
    """An existing file gets its bytes back, a new folder goes, and the program's own way back is called."""
    steps: list[Step] = [
        WriteFolder(tmp_path / "plugin", {"a.json": "{}", "deep/er/b.md": "text"}),
        RunProgram(program(tmp_path, "did"), program(tmp_path, "back")),
        EditFile(config, EDIT),
    ]
    apply(steps, record, quiet)
    assert (tmp_path / "plugin" / "deep" / "er" / "b.md").read_text() == "text"
    assert (tmp_path / "did").exists()
    assert b"mcp_servers.taskferry" in config.read_bytes()
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert undo(record, quiet) == []
    assert config.read_bytes() == THEIRS
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert not (tmp_path / "plugin").exists()
    assert (tmp_path / "back").exists()
    assert list((tmp_path / "own").iterdir()) == []


def test_a_file_that_we_made_goes_again(tmp_path, record):
    """Where there was no configuration, there is none afterwards."""
    path = tmp_path / "new" / "config.toml"
    apply([EditFile(path, EDIT)], record, quiet)
    assert path.exists()
    undo(record, quiet)
    assert not path.exists()


def test_changes_of_others_survive_undoing(record, config):
    """A file that was changed since loses our block and nothing else."""
    apply([EditFile(config, EDIT)], record, quiet)
    config.write_bytes(config.read_bytes() + b"[later]\r\nx = 1\r\n")
    assert undo(record, quiet) == []
    text = config.read_text()
    assert "taskferry" not in text
    assert "[later]" in text
    assert "[mcp_servers.other]" in text


def test_a_file_that_lost_our_marks_is_kept_and_named(record, config):
    """What cannot be told from other people's lines is not removed."""
    apply([EditFile(config, EDIT)], record, quiet)
    changed = config.read_text().replace("# <<< taskferry integrate <<<", "")
    config.write_text(changed)
    (sentence,) = undo(record, quiet)
    assert str(config) in sentence
    assert config.read_text() == changed


def test_a_changed_plugin_file_is_kept(tmp_path, record):
    """An owner's own change to a file of ours is not lost."""
    apply([WriteFolder(tmp_path / "plugin", {"a": "1", "b": "2"})], record, quiet)
    (tmp_path / "plugin" / "a").write_text("mine")
    (sentence,) = undo(record, quiet)
    assert "changed since" in sentence
    assert [path.name for path in (tmp_path / "plugin").iterdir()] == ["a"]


@pytest.mark.parametrize("link", [False, True])
def test_a_foreign_folder_is_not_touched(tmp_path, record, link):
    """A folder or link of that name is somebody's: refused, before anything else is done."""
    root = tmp_path / "plugin"
    (tmp_path / "real").mkdir()
    root.symlink_to(tmp_path / "real") if link else root.mkdir()
    with pytest.raises(IntegrationFailed, match="Move it away"):
        apply([WriteFolder(root, {"a": "1"})], record, quiet)
    assert root.exists()
    assert list((tmp_path / "real").iterdir()) == []


def test_a_step_that_fails_takes_back_those_before_it(tmp_path, record, config):
    """Nothing is left half done when a program refuses; its last words are told."""
    failing = (sys.executable, "-c", "import sys; print('no such market', file=sys.stderr); sys.exit(3)")
    with pytest.raises(IntegrationFailed, match="no such market"):
        apply(
            [
                WriteFolder(tmp_path / "plugin", {"a": "1"}),
                EditFile(config, EDIT),
                RunProgram(failing, failing),
            ],
            record,
            quiet,
        )
    assert config.read_bytes() == THEIRS
    assert not (tmp_path / "plugin").exists()
    assert record.read() == []


def test_a_broken_configuration_is_left_as_it_is(tmp_path, record):
    """It is named, with what to do; not a byte is changed."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"model = \xff\n")
    with pytest.raises(IntegrationFailed, match="left as it is"):
        apply([EditFile(path, EDIT)], record, quiet)
    path.write_bytes(b"model = [\n")
    with pytest.raises(IntegrationFailed, match="left as it is"):
        apply([EditFile(path, EDIT)], record, quiet)
    assert path.read_bytes() == b"model = [\n"


def test_a_configuration_behind_a_link_is_changed_where_it_is(tmp_path, record, config):
    """People keep their settings elsewhere and link to them; the link stays one."""
    link = tmp_path / "link.toml"
    link.symlink_to(config)
    apply([EditFile(link, EDIT)], record, quiet)
    assert link.is_symlink()
    assert b"taskferry" in config.read_bytes()
    undo(record, quiet)
    assert config.read_bytes() == THEIRS


def test_what_was_begun_before_a_crash_can_be_undone(tmp_path, record, config):
    """The record comes first: with a step written down and not done, undoing changes nothing else."""
    apply([EditFile(config, EDIT)], record, quiet)
    entries = record.read()
    undo(record, quiet)
    record.before().write_bytes(THEIRS)
    record.write([*entries, {"kind": "folder", "root": str(tmp_path / "never"), "files": {"a": "0"}}])
    assert undo(record, quiet) == []
    assert config.read_bytes() == THEIRS


def rewriting(path, text):
    """A program that writes settings anew in its own way."""
    script = f"import pathlib; pathlib.Path({str(path)!r}).write_text({text!r})"
    return (sys.executable, "-c", script)


@pytest.mark.parametrize("fails", [False, True])
def test_settings_that_a_program_rewrites_come_back_to_the_byte(record, config, fails):
    """The program's way back loses the comments; ours restores them, also when a later step fails."""
    steps: list[Step] = [
        KeepFile(config),
        RunProgram(rewriting(config, "x = 1\n"), rewriting(config, "x = 0\n")),
    ]
    if fails:
        failing = (sys.executable, "-c", "raise SystemExit(1)")
        with pytest.raises(IntegrationFailed):
            apply([*steps, RunProgram(failing, failing)], record, quiet)
    else:
        apply(steps, record, quiet)
        assert config.read_text() == "x = 1\n"
        assert undo(record, quiet) == []
    assert config.read_bytes() == THEIRS
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert list(record.folder.iterdir()) == []


def test_settings_that_somebody_changed_since_keep_that_change(record, config):
    """Then the program's own way back has the last word."""
    apply(
        [KeepFile(config), RunProgram(rewriting(config, "x = 1\n"), rewriting(config, "x = 0\nmine = 1\n"))],
        record,
        quiet,
    )
    config.write_text("x = 1\nmine = 1\n")
    assert undo(record, quiet) == []
    assert config.read_text() == "x = 0\nmine = 1\n"


@pytest.mark.parametrize("text", ["{", '{"done": 3}', "[]"])
def test_a_broken_record_is_refused(record, text):
    """Nothing is removed by guess."""
    record.folder.mkdir()
    record.path.write_text(text)
    with pytest.raises(IntegrationFailed, match="undo by hand"):
        undo(record, quiet)


def test_a_record_is_its_owners_alone(record, config):
    """What a configuration held before may be private."""
    apply([EditFile(config, EDIT)], record, quiet)
    assert stat.S_IMODE(record.before().stat().st_mode) == 0o600
    assert stat.S_IMODE(record.path.stat().st_mode) == 0o600
    assert json.loads(record.path.read_text())["done"][0]["kind"] == "edit"


def test_no_program_is_given_what_is_set_for_taskferry(tmp_path, monkeypatch, record):
    """An agent's host that were left running with the owner's credential would act by it."""
    monkeypatch.setenv("TASKFERRY_LOCAL_API_TOKEN", "tfo_secret")
    monkeypatch.setenv("FOR_ALL", "yes")
    script = (
        f"import os, pathlib; pathlib.Path({str(tmp_path / 'around')!r}).write_text(repr(dict(os.environ)))"
    )
    apply([RunProgram((sys.executable, "-c", script), program(tmp_path, "back"))], record, quiet)
    around = (tmp_path / "around").read_text()
    assert "FOR_ALL" in around
    assert "TASKFERRY" not in around
