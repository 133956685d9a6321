"""Each module alone: no network, no clock but an injected one."""
