# The objects of a release fit together.
package chart

import rego.v1

# Whether something with these labels is selected by `wanted`.
labelled(labels, wanted) if every name, value in wanted { labels[name] == value }

selected(labels) := {pod | some pod in pods; labelled(pod.metadata.labels, labels)}

selectors contains {"of": object, "labels": object.spec.selector} if {
	some object in input.objects
	object.kind == "Service"
}

selectors contains {"of": object, "labels": object.spec.selector.matchLabels} if {
	some object in input.objects
	object.kind in {"PodDisruptionBudget", "Deployment", "StatefulSet"}
}

selectors contains {"of": object, "labels": object.spec.podSelector.matchLabels} if {
	some object in input.objects
	object.kind == "NetworkPolicy"
	not migrations_only(object)
}

migrations_only(object) if object.spec.podSelector.matchLabels["app.kubernetes.io/component"] == "migrations"

deny contains sprintf("%s selects no pod", [name_of(selector.of)]) if {
	some selector in selectors
	count(selected(selector.labels)) == 0
}

deny contains sprintf("%s selects the pods of several components", [name_of(selector.of)]) if {
	some selector in selectors
	selector.of.kind in {"Service", "PodDisruptionBudget", "Deployment", "StatefulSet"}
	count({component(pod) | some pod in selected(selector.labels)}) > 1
}

deny contains sprintf("%s: no container of its pods has the port %s", [name_of(object), port.targetPort]) if {
	some object in input.objects
	object.kind == "Service"
	some port in object.spec.ports
	some pod in selected(object.spec.selector)
	not port.targetPort in {named.name | named := pod.spec.containers[_].ports[_]}
}

deny contains sprintf("%s: the number of pods belongs to its autoscaler, so it must not have replicas", [name_of(workload)]) if {
	some scaler in input.objects
	scaler.kind in {"HorizontalPodAutoscaler", "ScaledObject"}
	some workload in workloads
	workload.kind == scaler.spec.scaleTargetRef.kind
	workload.metadata.name == scaler.spec.scaleTargetRef.name
	workload.spec.replicas
}

deny contains sprintf("%s scales %s, which does not exist", [name_of(scaler), scaler.spec.scaleTargetRef.name]) if {
	some scaler in input.objects
	scaler.kind in {"HorizontalPodAutoscaler", "ScaledObject"}
	not scaler.spec.scaleTargetRef.name in {workload.metadata.name | some workload in workloads}
}

deny contains sprintf("%s: the pods have no network policy, although others have one", [name_of(pod.of)]) if {
	policies := [object | some object in input.objects; object.kind == "NetworkPolicy"]
	count(policies) > 0
	some pod in pods
	both := [policy | some policy in policies; labelled(pod.metadata.labels, policy.spec.podSelector.matchLabels)]
	count(both) < 2 # the one that denies everything, and its own
}

deny contains sprintf("%s: %s has no ServiceMonitor that selects it", [name_of(object), object.metadata.name]) if {
	some monitor in input.objects
	monitor.kind == "ServiceMonitor"
	some object in input.objects
	object.kind == "Service"
	object.spec.ports[_].name == "metrics"
	not labelled(object.metadata.labels, monitor.spec.selector.matchLabels)
}

deny contains sprintf("%s: label %s is missing", [name_of(object), label]) if {
	some object in input.objects
	some label in ["app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "app.kubernetes.io/version", "helm.sh/chart"]
	not object.metadata.labels[label]
}

deny contains sprintf("%s: names longer than 63 characters are refused for some kinds", [name_of(object)]) if {
	some object in input.objects
	count(object.metadata.name) > 63
}
