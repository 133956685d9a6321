"""rspamd's configuration of mx_check, as `rspamadm configdump -j` prints it, turned into settings of this service."""
