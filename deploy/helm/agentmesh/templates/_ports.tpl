{{/* The ports, which are those of the local stack. */}}
{{- define "agentmesh.ports" -}}
orchestrator: 50051
gateway: 8000
envoyAdmin: 9901
health: 9400
firstAgent: 8200
lastAgent: 8999
metrics: {orchestrator: 9464, worker: 9465, agents: 9466, consumer: 9530, gateway: 9468}
{{- end }}
