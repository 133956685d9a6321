"""An SMTP peer on every address of 127.0.0.0/8: it accepts and closes. `python -m bench.acceptor PORT`."""

import socket
import sys

_BACKLOG = 4096


def serve(port: int) -> None:
    with socket.create_server(("0.0.0.0", port), backlog=_BACKLOG) as listener:
        while True:
            connection, _ = listener.accept()
            connection.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
