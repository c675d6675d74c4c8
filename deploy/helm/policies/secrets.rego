# Each program gets the secrets that it needs, and no others.
package chart

import rego.v1

secret_settings := {
	"DATABASE_URL": {"orchestrator", "worker", "consumer", "migrations"},
	"REDIS_URL": {"orchestrator", "worker"},
	"JWT_SECRET": {"orchestrator"},
	"JWT_SECRET_PREVIOUS": {"orchestrator"},
	"ANTHROPIC_API_KEY": {"agents"},
}

secret_files := {
	"call-token.key": {"orchestrator", "worker"},
	"call-token.pub": {"agents"},
	"gateway.secret": {"orchestrator", "gateway"},
}

component(pod) := pod.metadata.labels["app.kubernetes.io/component"]

deny contains sprintf("%s: %s must come from a Secret, not from the release", [where(item), variable.name]) if {
	some item in containers
	some variable in item.container.env
	secret_settings[variable.name]
	not variable.valueFrom.secretKeyRef
}

deny contains sprintf("%s: %s is not for this component", [where(item), variable.name]) if {
	some item in containers
	some variable in item.container.env
	not component(item.pod) in secret_settings[variable.name]
}

deny contains sprintf("%s: %s is not for this component", [name_of(pod.of), mounted.path]) if {
	some pod in pods
	mounted := pod.spec.volumes[_].secret.items[_]
	not component(pod) in secret_files[mounted.path]
}

deny contains sprintf("%s: mount the keys of a Secret by name, so that no other key comes with them", [name_of(pod.of)]) if {
	some pod in pods
	some volume in pod.spec.volumes
	volume.name == "keys"
	not volume.secret.items
}

deny contains sprintf("%s: no program calls the API of Kubernetes; set automountServiceAccountToken to false", [name_of(pod.of)]) if {
	some pod in pods
	object.get(pod.spec, "automountServiceAccountToken", true) != false
}

deny contains sprintf("%s: the chart must not contain secrets", [name_of(object)]) if {
	some object in input.objects
	object.kind == "Secret"
}
