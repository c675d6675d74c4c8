"""How an agent host tells its caller, before the answer, that it has accepted a call: with its initial metadata.

A stream always sends it. A unary call sends it only on request, because it costs one more message (0.2 ms of CPU on both sides);
otherwise the initial metadata arrives with the answer. grpcio reads the initial metadata of a unary call only when the call has ended,
so callers who want to see it earlier make the call as a server stream, which is the same on the wire.
"""

WANTED_KEY = "x-mesh-want-acceptance"
WANTED = (WANTED_KEY, "1")
ACCEPTED = (("x-mesh-accepted", "1"),)
"""Until the caller has received this, nothing was bought."""
