"""Everything that an Envoy in a container of its own reads, in one folder that both containers mount at the same path.

envoy.yaml    the bootstrap
files/        the contracts, and the filters in Lua and WebAssembly
console/      the web console, if there is one
sds/          the gateway's secret and, with TLS, the paths of its certificates
"""

import shutil
from dataclasses import replace
from pathlib import Path

from gateway.envoy.render import GENERATED, GatewaySettings, render_bootstrap, write_sds

CONSOLE = GENERATED.parent / "console"
"""Where an image has the built console."""
COPIED = ("descriptor_path", "openapi_path", "lua_path", "requests_path", "connections_path", "shedding_path")


def write_folder(settings: GatewaySettings, folder: Path) -> Path:
    """Writes the folder and returns the path of the bootstrap. What an earlier version left there is replaced.

    The files of the settings are read from this installation. The console is that of `console_path`, or the one of the image. The paths of
    `tls_dir` are those that Envoy sees.
    """
    files, console = folder / "files", settings.console_path or (CONSOLE if CONSOLE.is_dir() else None)
    for stale in (files, folder / "console"):
        shutil.rmtree(stale, ignore_errors=True)
    files.mkdir(parents=True)
    copied = {name: files / getattr(settings, name).name for name in COPIED}
    for name, target in copied.items():
        shutil.copyfile(getattr(settings, name), target)
    if console is not None:
        shutil.copytree(console, folder / "console", copy_function=shutil.copyfile)
    moved = replace(settings, **copied, console_path=console and folder / "console", sds_dir=folder / "sds")
    write_sds(moved)
    bootstrap = folder / "envoy.yaml"
    bootstrap.write_text(render_bootstrap(moved))
    return bootstrap
