"""The failpoints at which tests kill the process: before and after each commit of the engine."""

from mesh.failpoints import Failpoint

BEFORE_START = Failpoint("workflow.before_start_commit")
AFTER_START = Failpoint("workflow.after_start_commit")
BEFORE_CLAIM = Failpoint("workflow.before_claim_commit")
AFTER_CLAIM = Failpoint("workflow.after_claim_commit")
BEFORE_REPORT = Failpoint("workflow.before_report_commit")
AFTER_REPORT = Failpoint("workflow.after_report_commit")
BEFORE_COMMAND = Failpoint("workflow.before_command_commit")
AFTER_COMMAND = Failpoint("workflow.after_command_commit")
BEFORE_RECOVERY = Failpoint("workflow.before_recovery_commit")
AFTER_RECOVERY = Failpoint("workflow.after_recovery_commit")
