"""The differential test against the reference plugin; see README.md."""
