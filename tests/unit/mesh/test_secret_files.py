"""Settings from files: every setting NAME may be given as NAME_FILE, as containers get their secrets."""

from pathlib import Path

import pytest

from mesh.settings import MeshSettings
from orchestrator.processes.accounts import AccountsSettings


def test_a_setting_is_read_from_the_file_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    file = tmp_path / "url"
    file.write_text("postgresql+asyncpg://ada:secret@db:5432/agentmesh\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    assert AccountsSettings().database_url == "postgresql+asyncpg://ada:secret@db:5432/agentmesh"


def test_a_setting_that_is_also_given_as_a_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "format").write_text("json")
    monkeypatch.setenv("LOG_FORMAT", "console")
    monkeypatch.setenv("LOG_FORMAT_FILE", str(tmp_path / "format"))
    with pytest.raises(ValueError, match="LOG_FORMAT and LOG_FORMAT_FILE are both set; set only one"):
        MeshSettings()


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOG_FORMAT_FILE", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match=r"LOG_FORMAT_FILE=.*/missing cannot be read: No such file or directory"):
        MeshSettings()


def test_an_invalid_value_in_a_file_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "port").write_text("hunter2")
    monkeypatch.setenv("METRICS_PORT_FILE", str(tmp_path / "port"))
    with pytest.raises(ValueError, match="metrics_port") as refused:
        MeshSettings()
    assert "hunter2" not in str(refused.value)
