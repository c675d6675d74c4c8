"""The points of a call at which tests kill the process: around each commit and around the purchase."""

from mesh.failpoints import Failpoint

BEFORE_INTENT = Failpoint("execution.before_intent_commit")
AFTER_INTENT = Failpoint("execution.after_intent_commit")
AFTER_ANSWER = Failpoint("execution.after_agent_answer")
BEFORE_SETTLEMENT = Failpoint("execution.before_settlement_commit")
AFTER_SETTLEMENT = Failpoint("execution.after_settlement_commit")
