"""How an agent host tells its caller, before the answer, that it has taken a call over: by its initial metadata.

A stream always says so. For a whole answer it is a message more on the wire, 0.2 ms of CPU on both sides, so it is said to those who
ask; others see the initial metadata with the answer. (grpcio reads the initial metadata of a unary call only when the call has ended;
who wants to see it makes the call as one that is answered by a stream, which on the wire is the same.)
"""

WANTED_KEY = "x-mesh-want-acceptance"
WANTED = (WANTED_KEY, "1")
ACCEPTED = (("x-mesh-accepted", "1"),)
"""Until a caller has seen it, nothing was bought."""
