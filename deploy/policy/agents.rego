# Who may do what. `allow` is the whole answer: the platform lets a call pass only where it is exactly true.
# What roles may do and which agents are restricted stands in access.yaml; the form of the input in README.md.
package agents

import rego.v1

default allow := false

allow if {
	scope_held
	role_may
	not restriction
}

# Why a call is denied: the first rule that it breaks. Undefined where it is allowed.
denial := {"rule": "unknown_action"} if {
	not data.access.actions[input.action]
} else := {"rule": "missing_scope", "scope": data.access.actions[input.action].scope} if {
	not scope_held
} else := {"rule": "role_may_not"} if {
	not role_may
} else := {"rule": restriction} if {
	restriction
}

# The credential was made for this: an access token holds every scope, an API key those that it was created with.
scope_held if data.access.actions[input.action].scope in input.user.scopes

# The user's role has the action.
role_may if input.action in data.access.roles[input.user.role].actions

# The restriction that keeps this user from this agent: of the agent itself, of its role, of its category.
# Looking at a restricted agent is not restricted, having it work is.
restriction := "restricted_agent" if {
	shuts_out(data.access.restricted.agents[input.agent.agent_id])
} else := "restricted_role" if {
	shuts_out(data.access.restricted.roles[input.agent.role])
} else := "restricted_category" if {
	shuts_out(data.access.restricted.categories[input.agent.category])
}

shuts_out(admitted) if {
	input.action == "execute"
	not admits(admitted)
}

admits(admitted) if input.user.role in admitted.roles

admits(admitted) if input.user.username in admitted.users
