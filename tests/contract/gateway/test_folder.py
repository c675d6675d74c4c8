"""The folder for an Envoy in a container of its own is complete: the real Envoy accepts its bootstrap where only that folder exists."""

import subprocess
from pathlib import Path

import pytest

from deploy.local.servers.envoy import program
from gateway.envoy.folder import write_folder
from gateway.envoy.render import GENERATED, HERE, GatewaySettings

SECRET = "Zr6wXq3vPn8sKd1fGh5jLm9tBc2yUe7a\n"


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    secret = tmp_path / "gateway.secret"
    secret.write_text(SECRET)
    console = tmp_path / "built" / "identity" / "assets"
    console.mkdir(parents=True)
    (console.parents[1] / "index.html").write_text("<title>console</title>")
    return GatewaySettings(
        orchestrators=(("orchestrator", 50051),),
        listen_address="0.0.0.0",
        console_path=console.parents[1],
        gateway_secret_file=secret,
    )


def test_the_bootstrap_names_only_files_of_the_folder_and_envoy_accepts_it(settings: GatewaySettings, tmp_path: Path) -> None:
    folder = tmp_path / "gateway"
    bootstrap = write_folder(settings, folder)
    text = bootstrap.read_text()
    assert str(HERE) not in text
    assert str(GENERATED) not in text
    assert str(tmp_path / "built") not in text
    checked = subprocess.run(
        [program(), "--mode", "validate", "--config-path", bootstrap, "--disable-hot-restart"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    (folder / "files" / "envelope.lua").unlink()
    incomplete = subprocess.run(
        [program(), "--mode", "validate", "--config-path", bootstrap, "--disable-hot-restart"], capture_output=True, text=True, check=False
    )
    assert "envelope.lua" in incomplete.stderr


def test_a_folder_is_written_again_without_remains_and_its_secret_is_private(settings: GatewaySettings, tmp_path: Path) -> None:
    folder = tmp_path / "gateway"
    write_folder(settings, folder)
    (folder / "files" / "old.lua").write_text("")
    write_folder(settings, folder)
    assert not (folder / "files" / "old.lua").exists()
    assert (folder / "console" / "index.html").read_text() == "<title>console</title>"
    secret = folder / "sds" / "gateway_secret.yaml"
    assert SECRET.strip() in secret.read_text()
    assert secret.stat().st_mode & 0o777 == 0o600
    assert SECRET.strip() not in (folder / "envoy.yaml").read_text()
