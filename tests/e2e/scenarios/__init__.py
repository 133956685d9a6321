"""The table of scenarios: what a message about such a domain gets from such a service, end to end.

`row` says how a row is read, `services` which services there are; the rows stand in the other modules, by theme.
"""

from tests.e2e.scenarios import (
    caching,
    dns_faults,
    fallback,
    families,
    greetings,
    implicit_mx,
    ip_classes,
    map_settings,
    messages,
    mx_records,
    null_mx,
)

ROWS = (
    *mx_records.ROWS,
    *fallback.ROWS,
    *greetings.ROWS,
    *implicit_mx.ROWS,
    *null_mx.ROWS,
    *dns_faults.ROWS,
    *families.ROWS,
    *ip_classes.ROWS,
    *map_settings.ROWS,
    *messages.ROWS,
    *caching.ROWS,
)
"""Every row; the numbers of their addresses follow from the order."""
