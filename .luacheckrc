std = "luajit"
globals = { "rspamd_config", "confighelp" }
max_line_length = 120
