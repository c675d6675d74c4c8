"""The places of a run at which tests kill the process: around each commit of the engine."""

from mesh.failpoints import Failpoint

BEFORE_START = Failpoint("workflow.before_start_commit")
AFTER_START = Failpoint("workflow.after_start_commit")
BEFORE_CLAIM = Failpoint("workflow.before_claim_commit")
AFTER_CLAIM = Failpoint("workflow.after_claim_commit")
BEFORE_REPORT = Failpoint("workflow.before_report_commit")
AFTER_REPORT = Failpoint("workflow.after_report_commit")
BEFORE_COMMAND = Failpoint("workflow.before_command_commit")
AFTER_COMMAND = Failpoint("workflow.after_command_commit")
BEFORE_TENDING = Failpoint("workflow.before_tending_commit")
AFTER_TENDING = Failpoint("workflow.after_tending_commit")
