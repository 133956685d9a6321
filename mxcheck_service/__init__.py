"""mxcheck-service: does the sender's domain really receive mail? Asked over HTTP, answered as rspamd symbols."""

__version__ = "0.1.0"
