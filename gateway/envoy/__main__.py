"""Prints the bootstrap for an Envoy that runs elsewhere, such as in its own container.

Every field of GatewaySettings can be set by the environment variable of its name in capitals; ORCHESTRATORS is a list such as
`orchestrator-0:50051,orchestrator-1:50051`, and CORS_ORIGINS a list such as `https://console.example.com`. The contracts are read from
this installation, wherever Envoy finds its copy. With TLS_DIR the files of SDS_DIR are written too: run this where Envoy will see them.

`python -m gateway.envoy FOLDER` writes the bootstrap and all files that Envoy reads into a folder instead; see gateway/envoy/folder.py.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gateway.envoy.folder import write_folder
from gateway.envoy.origins import origins
from gateway.envoy.render import GENERATED, GatewaySettings, render_bootstrap, write_sds


def settings_from(environment: Mapping[str, str]) -> GatewaySettings:
    """The settings that an environment names; raises ValueError where a value does not fit its field."""
    names = {field.name: field.name.upper() for field in fields(GatewaySettings)}
    values: dict[str, Any] = {field: environment[name] for field, name in names.items() if name in environment}
    if "orchestrators" in values:
        values["orchestrators"] = [address.rpartition(":")[::2] for address in values["orchestrators"].split(",")]
    if "cors_origins" in values:
        values["cors_origins"] = origins(values["cors_origins"])
    return TypeAdapter(GatewaySettings).validate_python(values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the bootstrap, or writes the folder that is named; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        settings = settings_from(os.environ)
    except ValueError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2
    if given:
        write_folder(settings, Path(given[0]).absolute())
    else:
        write_sds(settings)
        sys.stdout.write(render_bootstrap(settings, contract_path=GENERATED / "descriptor.binpb"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
