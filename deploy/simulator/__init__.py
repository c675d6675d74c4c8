"""A local simulator of Anthropic's Messages API, for machines without an API key and for tests.

It answers at once, gives the same answer to the same request, fails on demand, and logs every request that it answered.
"""
