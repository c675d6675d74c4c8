package agents_test

import data.agents
import rego.v1

access_token := ["execute", "manage", "read"]

bob := {"user_id": 7, "username": "bob", "role": "user", "scopes": access_token}

ada := {"user_id": 8, "username": "ada", "role": "user", "scopes": access_token}

root := {"user_id": 1, "username": "root", "role": "admin", "scopes": access_token}

clerk := {"agent_id": "finance_payment_clerk_agent_1_412", "category": "finance", "role": "payment_clerk"}

restricted := {"agents": {}, "roles": {}, "categories": {"finance": {"roles": ["admin"], "users": ["ada"]}}}

test_a_user_reads_executes_and_manages if {
	every action in ["read", "execute", "manage"] {
		agents.allow with input as {"user": bob, "action": action}
	}
}

test_only_an_administrator_administers if {
	agents.allow with input as {"user": root, "action": "administer"}
	not agents.allow with input as {"user": bob, "action": "administer"}
	agents.denial.rule == "role_may_not" with input as {"user": bob, "action": "administer"}
}

test_only_an_administrator_inspects_and_needs_no_more_than_the_scope_read if {
	agents.allow with input as {"user": root, "action": "inspect"}
	agents.allow with input as {"user": object.union(root, {"scopes": ["read"]}), "action": "inspect"}
	not agents.allow with input as {"user": bob, "action": "inspect"}
}

test_an_api_key_does_what_it_was_made_for if {
	key := object.union(root, {"scopes": ["read"]})
	agents.allow with input as {"user": key, "action": "read"}
	every action, scope in {"execute": "execute", "manage": "manage", "administer": "manage"} {
		not agents.allow with input as {"user": key, "action": action}
		agents.denial == {"rule": "missing_scope", "scope": scope} with input as {"user": key, "action": action}
	}
}

test_no_agent_is_restricted_as_shipped if {
	agents.allow with input as {"user": bob, "action": "execute", "agent": clerk}
}

test_a_restricted_agent_works_for_whom_it_is_meant if {
	every kind, name in {"agents": clerk.agent_id, "roles": clerk.role, "categories": clerk.category} {
		now := object.union(
			{"agents": {}, "roles": {}, "categories": {}},
			{kind: {name: {"roles": ["admin"], "users": ["ada"]}}},
		)
		agents.allow with input as {"user": root, "action": "execute", "agent": clerk} with data.access.restricted as now
		agents.allow with input as {"user": ada, "action": "execute", "agent": clerk} with data.access.restricted as now
		not agents.allow with input as {"user": bob, "action": "execute", "agent": clerk} with data.access.restricted as now
	}
}

test_a_denial_names_the_restriction if {
	every kind, expected in {
		"agents": {"name": clerk.agent_id, "rule": "restricted_agent"},
		"roles": {"name": clerk.role, "rule": "restricted_role"},
		"categories": {"name": clerk.category, "rule": "restricted_category"},
	} {
		now := object.union({"agents": {}, "roles": {}, "categories": {}}, {kind: {expected.name: {"roles": ["admin"]}}})
		denial := agents.denial with input as {"user": bob, "action": "execute", "agent": clerk} with data.access.restricted as now
		denial == {"rule": expected.rule}
	}
}

test_every_restriction_must_admit_the_user if {
	both := object.union(restricted, {"agents": {clerk.agent_id: {"roles": ["admin"]}}})
	not agents.allow with input as {"user": ada, "action": "execute", "agent": clerk} with data.access.restricted as both
	agents.denial.rule == "restricted_agent" with input as {"user": ada, "action": "execute", "agent": clerk}
		with data.access.restricted as both
}

test_anybody_may_look_at_a_restricted_agent if {
	agents.allow with input as {"user": bob, "action": "read", "agent": clerk} with data.access.restricted as restricted
}

test_what_is_not_known_is_denied if {
	every document in [
		{},
		{"action": "read"},
		{"user": bob},
		{"user": bob, "action": "fly"},
		{"user": object.union(bob, {"role": "guest"}), "action": "read"},
		{"user": object.remove(bob, ["scopes"]), "action": "read"},
		{"user": object.union(bob, {"scopes": "read"}), "action": "read"},
	] {
		agents.allow == false with input as document
		agents.denial.rule with input as document
	}
}
