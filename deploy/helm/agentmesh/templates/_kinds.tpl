{{/* Objects that several components have. */}}

{{/* (root, component, its values) */}}
{{- define "agentmesh.disruptionBudget" -}}
{{- $root := index . 0 -}}
{{- $budget := (index . 2).disruptionBudget -}}
{{- if $budget.enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "agentmesh.fullname" $root }}-{{ index . 1 }}
  labels:
    {{- include "agentmesh.labels" (list $root (index . 1)) | nindent 4 }}
spec:
  maxUnavailable: {{ $budget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "agentmesh.podSelector" (list $root (index . 1)) | nindent 6 }}
{{- end }}
{{- end }}

{{/* (root, component, its values) */}}
{{- define "agentmesh.autoscaler" -}}
{{- $root := index . 0 -}}
{{- $autoscaling := (index . 2).autoscaling -}}
{{- if $autoscaling.enabled }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "agentmesh.fullname" $root }}-{{ index . 1 }}
  labels:
    {{- include "agentmesh.labels" (list $root (index . 1)) | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "agentmesh.fullname" $root }}-{{ index . 1 }}}
  minReplicas: {{ $autoscaling.minReplicas }}
  maxReplicas: {{ $autoscaling.maxReplicas }}
  metrics:
  - type: Resource
    resource:
      name: cpu
      target: {type: Utilization, averageUtilization: {{ $autoscaling.targetCPUUtilizationPercentage }}}
  behavior:
    # A pod that ends cancels the calls that its drain does not cover, so scale down slowly.
    scaleDown:
      stabilizationWindowSeconds: 300
      policies: [{type: Pods, value: 1, periodSeconds: 60}]
{{- end }}
{{- end }}

{{/* (root, component, ports): a headless Service. Clients get the address of every pod that is ready, and balance the calls themselves. */}}
{{- define "agentmesh.headlessService" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "agentmesh.fullname" $root }}-{{ $component }}
  labels:
    {{- include "agentmesh.labels" (list $root $component) | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "agentmesh.podSelector" (list $root $component) | nindent 4 }}
  {{- with index . 2 }}
  ports:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
