"""Requests on their way to a provider, changed as its settings or a marker in the conversation ask.

Everything here works on bytes: what is not changed stays byte for byte what the client sent.
"""
