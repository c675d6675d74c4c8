{{/* The parts that the pods have in common. */}}
{{- define "agentmesh.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "agentmesh.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* (root, component): the metadata of its pods */}}
{{- define "agentmesh.podMetadata" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "agentmesh.labels" . | nindent 2 }}
  {{- with $root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* (root, component, its values): what a pod's spec says beside its containers and volumes */}}
{{- define "agentmesh.podSpec" -}}
{{- $root := index . 0 -}}
{{- $scheduling := (index . 2).scheduling | default dict -}}
serviceAccountName: {{ include "agentmesh.serviceAccount" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "agentmesh.podSecurityContext" $root | nindent 2 }}
topologySpreadConstraints:
{{- if hasKey $scheduling "topologySpreadConstraints" }}
  {{- toYaml $scheduling.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "agentmesh.podSelector" (list $root (index $ 1)) | nindent 8 }}
{{- end }}
{{- end }}
{{- with omit $scheduling "topologySpreadConstraints" }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Probes of a program: the health port reports "" once it takes work, and `live` while its event loop answers. */}}
{{- define "agentmesh.probes" -}}
startupProbe:
  grpc: {port: 9400}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 90
readinessProbe:
  grpc: {port: 9400}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  grpc: {port: 9400, service: live}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{/* (root, component, its values, arguments of python, env): a container with one of our programs */}}
{{- define "agentmesh.container" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index . 2 -}}
name: {{ $component }}
image: {{ include "agentmesh.image" (list $root.Values.image $root.Chart.AppVersion) }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
command: [python, -m, {{ index . 3 }}]
securityContext:
  {{- include "agentmesh.securityContext" $root | nindent 2 }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
env:
  {{- index . 4 | nindent 2 }}
{{- end }}

{{/* Grants enough time to drain. */}}
{{- define "agentmesh.terminationGrace" -}}
{{ add (ceil .drainSeconds | int) 30 }}
{{- end }}
