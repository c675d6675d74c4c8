"""A local simulator of Anthropic's Messages API: what the real SDK talks to when there is no API key, and what tests talk to.

It answers at once, the same answer to the same request, fails on demand, and keeps a log of every request that it answered.
"""
