# What every pod of the chart must satisfy. The input is {"objects": [...]}, the objects of one rendered release.
package chart

import rego.v1

workloads := [object | some object in input.objects; object.kind in {"Deployment", "StatefulSet", "Job"}]

pods contains {"of": object, "metadata": object.spec.template.metadata, "spec": object.spec.template.spec} if some object in workloads

containers contains {"pod": pod, "container": container} if {
	some pod in pods
	some container in array.concat(pod.spec.containers, object.get(pod.spec, "initContainers", []))
}

name_of(object) := sprintf("%s %s", [object.kind, object.metadata.name])

where(item) := sprintf("%s, container %s", [name_of(item.pod.of), item.container.name])

# The profile `restricted` of the pod security standards.

deny contains sprintf("%s: set runAsNonRoot, and a runAsUser other than 0", [name_of(pod.of)]) if {
	some pod in pods
	not runs_as_user(pod.spec)
}

runs_as_user(spec) if {
	spec.securityContext.runAsNonRoot == true
	spec.securityContext.runAsUser > 0
}

deny contains sprintf("%s: set seccompProfile to RuntimeDefault", [name_of(pod.of)]) if {
	some pod in pods
	object.get(pod.spec, ["securityContext", "seccompProfile", "type"], "") != "RuntimeDefault"
}

deny contains sprintf("%s: it must not use the %s of the node", [name_of(pod.of), namespace]) if {
	some pod in pods
	some namespace in {"hostNetwork", "hostPID", "hostIPC"}
	pod.spec[namespace]
}

deny contains sprintf("%s: volume %s has a type that `restricted` forbids", [name_of(pod.of), volume.name]) if {
	some pod in pods
	some volume in pod.spec.volumes
	kinds := object.keys(volume) - {"name"}
	count(kinds - {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}) > 0
}

deny contains sprintf("%s: forbid privilege escalation, drop ALL capabilities, and make the root file system read-only", [where(item)]) if {
	some item in containers
	not contained(item.container)
}

contained(container) if {
	context := container.securityContext
	context.allowPrivilegeEscalation == false
	context.readOnlyRootFilesystem == true
	context.capabilities == {"drop": ["ALL"]}
	not context.privileged
	not context.runAsUser
}

# What a cluster needs to know.

deny contains sprintf("%s: request CPU and memory, and limit memory", [where(item)]) if {
	some item in containers
	not sized(item.container.resources)
}

sized(resources) if {
	resources.requests.cpu
	resources.requests.memory
	resources.limits.memory
}

deny contains sprintf("%s: a limit on CPU would throttle calls in progress; request more instead", [where(item)]) if {
	some item in containers
	item.container.resources.limits.cpu
}

deny contains sprintf("%s: image %s needs a version", [where(item), item.container.image]) if {
	some item in containers
	not regex.match(`^[^:@]+(:[0-9]+/[^:@]+)?(:[^:@]*[0-9][^:@]*|@sha256:[0-9a-f]{64})$`, item.container.image)
}

deny contains sprintf("%s: it serves, so it needs a readiness probe and a liveness probe", [where(item)]) if {
	some item in served
	not probed(item.container)
}

served contains item if {
	some item in containers
	item.pod.of.kind != "Job"
	item.container in item.pod.spec.containers
}

probed(container) if {
	container.readinessProbe
	container.livenessProbe
}

deny contains sprintf("%s: Python programs answer gRPC's own health checks; use probes of the kind grpc", [where(item)]) if {
	some item in served
	item.container.command[0] == "python"
	some probe in ["startupProbe", "readinessProbe", "livenessProbe"]
	not item.container[probe].grpc
}

deny contains sprintf("%s: terminationGracePeriodSeconds %d is too short for DRAIN_GRACE_SECONDS %s", [name_of(pod.of), grace, drain]) if {
	some pod in pods
	some variable in pod.spec.containers[0].env
	variable.name == "DRAIN_GRACE_SECONDS"
	drain := variable.value
	grace := object.get(pod.spec, "terminationGracePeriodSeconds", 30)
	grace < to_number(drain) + 15
}

deny contains sprintf("%s: terminationGracePeriodSeconds %d is too short for a preStop hook of %d s", [name_of(pod.of), grace, pause]) if {
	some pod in pods
	pause := pod.spec.containers[_].lifecycle.preStop.sleep.seconds
	grace := object.get(pod.spec, "terminationGracePeriodSeconds", 30)
	grace < pause + 15
}
