{{/* Names, labels and images. */}}
{{- define "agentmesh.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* At most 40 characters, so that every name made from it is at most 63. */}}
{{- define "agentmesh.fullname" -}}
{{- $name := include "agentmesh.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "agentmesh.selector" -}}
app.kubernetes.io/name: {{ include "agentmesh.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* (root, component) */}}
{{- define "agentmesh.labels" -}}
{{ include "agentmesh.selector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: agentmesh
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end }}

{{/* (root, component): what selects the pods of one component */}}
{{- define "agentmesh.podSelector" -}}
{{ include "agentmesh.selector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "agentmesh.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "agentmesh.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{/* (image, default tag) */}}
{{- define "agentmesh.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default (index . 1) $image.tag }}
{{- end -}}
{{- end }}

{{/* (root, service): the secret with the certificate of a service */}}
{{- define "agentmesh.tlsSecret" -}}
{{- $root := index . 0 -}}
{{- $service := index . 1 -}}
{{- if $root.Values.tls.certManager.enabled -}}
{{ include "agentmesh.fullname" $root }}-{{ kebabcase $service }}-tls
{{- else -}}
{{ required (printf "tls.secrets.%s is empty: name the secret with tls.crt, tls.key and ca.crt of this service, or set tls.certManager.enabled" $service) (index $root.Values.tls.secrets $service) }}
{{- end -}}
{{- end }}

{{/* The names of a Service inside the cluster: (root, name of the Service) */}}
{{- define "agentmesh.host" -}}
{{ index . 1 }}.{{ (index . 0).Release.Namespace }}.svc
{{- end }}
