"""The schema of the chart's values: `python -m deploy.helm.schema` writes values.schema.json.

Helm checks it at every `template`, `lint`, `install` and `upgrade`. It knows every setting of the programs, so a misspelt name is refused.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.helm.settings import open_to_values

CHART = Path(__file__).parent / "agentmesh"
FILE = CHART / "values.schema.json"
Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
COUNT: Schema = {"type": "integer", "minimum": 1}
SECONDS: Schema = {"type": "number", "minimum": 0}
LIST: Schema = {"type": "array", "items": {"type": "object"}}
ANYTHING: Schema = {"type": "object"}
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", "maxLength": 253}
NAME_OR_NONE: Schema = {"anyOf": [NAME, {"const": ""}]}
ADDRESS: Schema = {"type": "string", "pattern": "^(https?://.+)?$"}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "minLength": 2}
DIGEST: Schema = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
PULL_POLICY: Schema = {"enum": ["IfNotPresent", "Always", "Never"]}
QUANTITY: Schema = {"type": ["string", "number"], "pattern": "^[0-9.]+(m|k|Ki|M|Mi|G|Gi)?$"}


def exactly(**properties: Schema) -> Schema:
    """An object with these properties and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def settings_of(*programs: str) -> Schema:
    """An object with settings of these programs, by the names of their environment variables."""
    known = sorted({name for program in programs for name in open_to_values(program)})
    return {"type": "object", "propertyNames": {"enum": known}, "additionalProperties": {"type": ["string", "number", "boolean"]}}


def schema() -> Schema:
    """The whole schema."""
    programs = ("orchestrator", "worker", "consumer", "agents")
    of_program: Mapping[str, Schema] = {
        "drainSeconds": {"type": "number", "minimum": 0, "maximum": 3600},
        "resources": RESOURCES,
        "disruptionBudget": exactly(enabled=FLAG, maxUnavailable={"type": ["integer", "string"]}),
        "scheduling": SCHEDULING,
    }
    pool = exactly(size=COUNT, overflow={"type": "integer", "minimum": 0})
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the agentmesh chart",
        **exactly(
            **_PLATFORM,
            settings=settings_of(*programs),
            orchestrator=exactly(
                **of_program, replicas=COUNT, databasePool=pool, settings=settings_of("orchestrator"), autoscaling=AUTOSCALING
            ),
            worker=exactly(**of_program, replicas=COUNT, databasePool=pool, settings=settings_of("worker"), keda=_KEDA),
            consumer=exactly(**of_program, replicas=COUNT, settings=settings_of("consumer")),
            agents=exactly(**of_program, shards={"type": "integer", "minimum": 1, "maximum": 800}, settings=settings_of("agents")),
            gateway=exactly(
                **{**of_program, "drainSeconds": {"type": "integer", "minimum": 1, "maximum": 3600}},
                **_GATEWAY,
                replicas=COUNT,
                settings=settings_of("gateway"),
                autoscaling=AUTOSCALING,
            ),
        ),
    }


RESOURCES = exactly(
    requests={"type": "object", "additionalProperties": QUANTITY, "required": ["cpu", "memory"]},
    limits={"type": "object", "additionalProperties": QUANTITY, "required": ["memory"]},
)
SCHEDULING = exactly(
    nodeSelector=TEXTS,
    tolerations=LIST,
    affinity=ANYTHING,
    topologySpreadConstraints=LIST,
    priorityClassName=TEXT,
    runtimeClassName=TEXT,
)
AUTOSCALING = exactly(
    enabled=FLAG, minReplicas=COUNT, maxReplicas=COUNT, targetCPUUtilizationPercentage={"type": "integer", "minimum": 1, "maximum": 100}
)
_SECRET_KEY = exactly(name=NAME, key={"type": "string", "pattern": "^[-._a-zA-Z0-9]+$"})
_DEPENDENCY = exactly(port=PORT, to=LIST)
_KEDA = exactly(
    enabled=FLAG,
    prometheusUrl=ADDRESS,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    queueAgeSeconds={"type": "number", "exclusiveMinimum": 0},
    pollingSeconds=COUNT,
    authenticationRef=NAME_OR_NONE,
)
_GATEWAY: Mapping[str, Schema] = {
    "image": exactly(repository={**TEXT, "minLength": 1}, tag=TEXT, digest=DIGEST, pullPolicy=PULL_POLICY),
    "concurrency": COUNT,
    "trustedHops": {"type": "integer", "minimum": 0},
    "service": exactly(
        type={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        port=PORT,
        annotations=TEXTS,
        loadBalancerClass=TEXT,
        externalTrafficPolicy={"enum": ["", "Cluster", "Local"]},
    ),
    "ingress": exactly(enabled=FLAG, className=TEXT, annotations=TEXTS, hosts={"type": "array", "items": NAME}, tls=LIST),
}
_PLATFORM: Mapping[str, Schema] = {
    "nameOverride": TEXT,
    "fullnameOverride": NAME_OR_NONE,
    "image": exactly(repository={**TEXT, "minLength": 1}, tag=TEXT, digest=DIGEST, pullPolicy=PULL_POLICY),
    "imagePullSecrets": LIST,
    "secrets": exactly(database=_SECRET_KEY, redis=_SECRET_KEY, keys=exactly(name=NAME), provider=_SECRET_KEY),
    "database": exactly(
        sslMode={"enum": ["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
        caSecret=exactly(name=NAME_OR_NONE, key=TEXT),
    ),
    "kafka": exactly(bootstrapServers={"type": "string", "pattern": "^([^:,]+:[0-9]+(,[^:,]+:[0-9]+)*)?$"}),
    "opa": exactly(url=ADDRESS),
    "provider": exactly(name={"enum": ["anthropic", "simulator"]}, baseUrl=ADDRESS),
    "tls": exactly(
        certManager=exactly(
            enabled=FLAG,
            issuerRef=exactly(name=NAME_OR_NONE, kind={"enum": ["Issuer", "ClusterIssuer"]}, group=TEXT),
            duration=DURATION,
            renewBefore=DURATION,
        ),
        secrets=exactly(orchestrator=NAME_OR_NONE, worker=NAME_OR_NONE, agentHost=NAME_OR_NONE, gateway=NAME_OR_NONE),
    ),
    "definitions": exactly(
        source={"enum": ["image", "volume", "configMap"]},
        volume=ANYTHING,
        subPath=TEXT,
        configMap=NAME_OR_NONE,
        files={
            "type": "object",
            "propertyNames": {"pattern": "^([a-zA-Z0-9_][-._a-zA-Z0-9]*/)*[a-zA-Z0-9_][-._a-zA-Z0-9]*\\.(yaml|yml|json)$"},
            "additionalProperties": TEXT,
        },
    ),
    "migrations": exactly(enabled=FLAG, timeoutSeconds=COUNT, resources=RESOURCES),
    "metrics": exactly(
        enabled=FLAG, serviceMonitor=exactly(enabled=FLAG, interval={"type": "string", "pattern": "^[0-9]+(ms|s|m)$"}, labels=TEXTS)
    ),
    "networkPolicy": exactly(
        enabled=FLAG,
        gatewayFrom=LIST,
        orchestratorFrom=LIST,
        metricsFrom=LIST,
        database=_DEPENDENCY,
        redis=_DEPENDENCY,
        kafka=_DEPENDENCY,
        opa=_DEPENDENCY,
        provider=_DEPENDENCY,
        extraEgress=LIST,
    ),
    "serviceAccount": exactly(create=FLAG, name=NAME_OR_NONE, annotations=TEXTS),
    "podAnnotations": TEXTS,
    "podLabels": TEXTS,
    "global": ANYTHING,
}


def as_text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())
