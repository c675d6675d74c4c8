# Who may do what. The platform allows a call only if `allow` is exactly true.
# access.yaml has the roles and the restricted agents; README.md describes the input.
package agents

import rego.v1

default allow := false

allow if {
	scope_held
	role_may
	not restriction
}

# Why a call is denied: the first rule that it breaks. Undefined if the call is allowed.
denial := {"rule": "unknown_action"} if {
	not data.access.actions[input.action]
} else := {"rule": "missing_scope", "scope": data.access.actions[input.action].scope} if {
	not scope_held
} else := {"rule": "role_may_not"} if {
	not role_may
} else := {"rule": restriction} if {
	restriction
}

# The credential has the scope of the action. An access token has every scope, an API key those that it was created with.
scope_held if data.access.actions[input.action].scope in input.user.scopes

# The user's role may do the action.
role_may if input.action in data.access.roles[input.user.role].actions

# The restriction that excludes this user: of the agent, of its role or of its category.
# Everybody may look at a restricted agent; only calling it is restricted.
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
