"""The one error family of maps."""


class MapError(Exception):
    """A map cannot be loaded; the message names the setting, the place and what to do."""
