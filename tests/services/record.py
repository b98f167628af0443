"""Records what a client and a server say to each other, for the tests of protocol parsers.

    record.py LISTEN-PORT SERVER-PORT FILE [COMMENT]

Passes one connection on to the server on 127.0.0.1, writes it down when it has ended, and exits. A line
is one read: `c` what the client sent, `s` what the server did; see agent/src/protocol/recording.rs. Of a
read the first 4096 bytes are kept, as the agent does. Silences of 100 ms and more are written down too.

Use test data only: everything is written down, passwords too.
"""

import socket
import sys
import threading
import time

CAPTURED = 4096
SILENCE = 100
ESCAPES = {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r", 0x22: r"\"", 0x27: r"\'", 0x5C: r"\\"}


def escaped(data):
    """As Rust's std::ascii::escape_default."""
    return "".join(
        ESCAPES.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}")
        for byte in data
    )


def passed_on(who, source, target, reads):
    while data := source.recv(65536):
        # Before it is sent: an answer must not come before what it answers.
        reads.append((time.monotonic(), who, data))
        target.sendall(data)
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # It has closed already.


def written(reads):
    """A line for each."""
    last = reads[0][0] if reads else 0
    for now, who, data in reads:
        hidden = f"+{len(data) - CAPTURED}" if len(data) > CAPTURED else ""
        silence, last = int((now - last) * 1000), now
        pause = f"@{silence}" if silence >= SILENCE else ""
        yield f"{who}{hidden}{pause} {escaped(data[:CAPTURED])}\n"


def main():
    listen, server, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    reads = []
    with socket.create_server(("127.0.0.1", listen)) as listener:
        client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", server))
    other = threading.Thread(target=passed_on, args=("s", server, client, reads))
    other.start()
    passed_on("c", client, server, reads)
    other.join()
    with open(file, "w", encoding="ascii") as out:
        out.writelines(f"# {comment}\n" for comment in sys.argv[4:])
        out.writelines(written(reads))


main()
