"""The failpoints at which tests kill the process: before and after the commit that counts executions."""

from mesh.failpoints import Failpoint

BEFORE_COUNTING = Failpoint("analytics.before_counting_commit")
AFTER_COUNTING = Failpoint("analytics.after_counting_commit")
