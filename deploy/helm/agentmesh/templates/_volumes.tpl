{{/* The volumes of the programs and their mounts. */}}

{{/* (root, name of the service in its certificate, keys to mount, whether it uses the database, whether it reads definitions) */}}
{{- define "agentmesh.volumes" -}}
{{- $root := index . 0 -}}
- name: tls
  secret: {secretName: {{ include "agentmesh.tlsSecret" (list $root (index . 1)) }}, defaultMode: 0440}
- name: cache
  emptyDir: {sizeLimit: 256Mi}
{{- with index . 2 }}
- name: keys
  secret:
    secretName: {{ $root.Values.secrets.keys.name }}
    defaultMode: 0440
    items:
    {{- range . }}
    - {key: {{ . }}, path: {{ . }}}
    {{- end }}
{{- end }}
{{- if index . 3 }}
{{- include "agentmesh.volume.database" $root }}
{{- end }}
{{- if and (index . 4) (ne $root.Values.definitions.source "image") }}
- name: definitions
  {{- include "agentmesh.volume.definitions" $root | nindent 2 }}
{{- end }}
{{- end }}

{{- define "agentmesh.volume.database" -}}
{{- with .Values.database.caSecret }}{{ if .name }}
- name: database
  secret: {secretName: {{ .name }}, defaultMode: 0440}
{{- end }}{{ end }}
{{- end }}

{{- define "agentmesh.volume.definitions" -}}
{{- $definitions := .Values.definitions -}}
{{- if eq $definitions.source "volume" -}}
{{- if not $definitions.volume }}
{{- fail "definitions.volume is empty: give a volume source, such as {persistentVolumeClaim: {claimName: definitions}}" }}
{{- end -}}
{{ toYaml $definitions.volume }}
{{- else if $definitions.configMap -}}
configMap: {name: {{ $definitions.configMap }}}
{{- else -}}
configMap:
  name: {{ include "agentmesh.fullname" . }}-definitions
  items:
  {{- range $path := keys $definitions.files | sortAlpha }}
  - {key: {{ include "agentmesh.definitionKey" $path }}, path: {{ $path | quote }}}
  {{- end }}
{{- end -}}
{{- end }}

{{/* The key of a file in the ConfigMap: keys contain no slashes. */}}
{{- define "agentmesh.definitionKey" -}}
{{ replace "/" "." . }}
{{- end }}

{{/* (root, whether it has keys, whether it uses the database, whether it reads definitions) */}}
{{- define "agentmesh.mounts" -}}
{{- $root := index . 0 -}}
- {name: tls, mountPath: /etc/agentmesh/tls, readOnly: true}
- {name: cache, mountPath: /var/cache/agentmesh}
{{- if index . 1 }}
- {name: keys, mountPath: /etc/agentmesh/keys, readOnly: true}
{{- end }}
{{- if index . 2 }}
{{- include "agentmesh.mount.database" $root }}
{{- end }}
{{- if and (index . 3) (ne $root.Values.definitions.source "image") }}
- {name: definitions, mountPath: /etc/agentmesh/definitions, readOnly: true{{ with $root.Values.definitions.subPath }}, subPath: {{ . }}{{ end }}}
{{- end }}
{{- end }}

{{- define "agentmesh.mount.database" -}}
{{- if .Values.database.caSecret.name }}
- {name: database, mountPath: /etc/agentmesh/database, readOnly: true}
{{- end }}
{{- end }}
