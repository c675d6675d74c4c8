{{/* The settings of the programs as environment variables. docs/operations.md describes them. */}}

{{/* Of every program: (root, component, its values) */}}
{{- define "agentmesh.env.common" -}}
{{- $root := index . 0 -}}
{{- $ports := include "agentmesh.ports" $root | fromYaml -}}
- {name: HOST_ADDRESS, value: 0.0.0.0}
- {name: HEALTH_ADDRESS, value: 0.0.0.0}
- {name: HEALTH_PORT, value: {{ $ports.health | quote }}}
- {name: DRAIN_GRACE_SECONDS, value: {{ (index . 2).drainSeconds | quote }}}
- {name: MESH_TLS_DIR, value: /etc/agentmesh/tls}
- {name: DEFINITIONS_CACHE, value: /var/cache/agentmesh/definitions}
{{- if ne $root.Values.definitions.source "image" }}
- {name: DEFINITIONS_PATH, value: /etc/agentmesh/definitions}
{{- end }}
{{- if $root.Values.metrics.enabled }}
- {name: METRICS_PORT, value: {{ index $ports.metrics (index . 1) | quote }}}
{{- end }}
{{- include "agentmesh.env.given" (list $root.Values.settings (index . 2).settings) }}
{{- end }}

{{/* The settings that the values name; those of a program take precedence over those of all. */}}
{{- define "agentmesh.env.given" -}}
{{- range $name, $value := merge dict (index . 1) (index . 0) }}
- {name: {{ $name }}, value: {{ if kindIs "float64" $value }}{{ $value | toJson | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}}
{{- end }}
{{- end }}

{{/* (name of the setting, {name, key} of a secret) */}}
{{- define "agentmesh.env.secret" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ (index . 1).name }}, key: {{ (index . 1).key }}}}
{{- end }}

{{/* The connection to PostgreSQL. asyncpg reads the PG… variables as libpq does. */}}
{{- define "agentmesh.env.database" -}}
{{ include "agentmesh.env.secret" (list "DATABASE_URL" .Values.secrets.database) }}
{{- with .Values.database.sslMode }}
- {name: PGSSLMODE, value: {{ . }}}
{{- end }}
{{- if .Values.database.caSecret.name }}
- {name: PGSSLROOTCERT, value: /etc/agentmesh/database/{{ .Values.database.caSecret.key }}}
{{- end }}
{{- end }}

{{/* Of the programs that call agents: (root, component, its values) */}}
{{- define "agentmesh.env.caller" -}}
{{- $root := index . 0 -}}
{{- $agents := printf "%s-agents" (include "agentmesh.fullname" $root) -}}
{{ include "agentmesh.env.common" . }}
{{ include "agentmesh.env.database" $root }}
{{ include "agentmesh.env.secret" (list "REDIS_URL" $root.Values.secrets.redis) }}
- {name: DB_POOL_SIZE, value: {{ (index . 2).databasePool.size | quote }}}
- {name: DB_MAX_OVERFLOW, value: {{ (index . 2).databasePool.overflow | quote }}}
- {name: AGENT_SHARDS, value: {{ $root.Values.agents.shards | quote }}}
- {name: AGENT_HOST_TEMPLATE, value: {{ printf "%s-{shard}.%s" $agents (include "agentmesh.host" (list $root $agents)) | quote }}}
- {name: CALL_TOKEN_PRIVATE_KEY_FILE, value: /etc/agentmesh/keys/call-token.key}
{{- with $root.Values.opa.url }}
- {name: OPA_URL, value: {{ . | quote }}}
{{- end }}
{{- end }}
