"""The lab: real and scripted components that tests and benchmarks share.

- `process`: find, start, watch and stop child processes
- `sockets`: free ports
- `waiting`: wait for a condition, with a deadline
- `redis`, `knot`, `mta`: real redis-server, knotd, Postfix (with postscreen), Exim and OpenSMTPD
- `dnsd` with `dns_behaviours`: a programmable DNS server, for what a real one will not do
- `smtp` with `smtp_scripts`: scripted SMTP peers, for what a real MTA will not do
- `service`: the service itself as a child process, and single commands
- `load`: a steady load of checks, each of whose replies is held to the truth
- `fixtures`: all of these as pytest fixtures
"""
