"""`mxcheck doctor`: looks at what the service depends on, and says what is wrong and what to do."""
