"""HTTP/2 without TLS, by h2: http2.py PORT. Prints what it did, a line of JSON for each request.

Streams at the same time on one connection, one that is reset, an upload larger than the windows, and frames
whose headers are sent by two calls.
"""

import json
import socket
import sys

import h2.connection
import h2.events

PORT = int(sys.argv[1])


class Client:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", PORT), 20)
        self.http = h2.connection.H2Connection()
        self.http.initiate_connection()
        self.flush()
        self.requests = {}
        self.status = {}
        self.ended = set()

    def flush(self):
        self.socket.sendall(self.http.data_to_send())

    def ask(self, method, path, end=True):
        stream = self.http.get_next_available_stream_id()
        head = [(":method", method), (":path", path), (":scheme", "http")]
        head.append((":authority", f"127.0.0.1:{PORT}"))
        self.http.send_headers(stream, head, end_stream=end)
        self.requests[stream] = method, path
        return stream

    def hear(self):
        for event in self.http.receive_data(self.socket.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                self.status[event.stream_id] = int(dict(event.headers)[b":status"])
            elif isinstance(event, h2.events.DataReceived):
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
        self.flush()

    def finish(self, streams):
        while not self.ended.issuperset(streams):
            self.hear()
        for stream in streams:
            self.told(stream)

    def told(self, stream, reset=False):
        method, path = self.requests[stream]
        status = self.status[stream]
        shown = {"http.response.status_code": status}
        client = {"url.full": f"http://127.0.0.1:{PORT}{path}"}
        line = {
            "name": method,
            "kind": "client",
            "error": reset or status >= 400,
            "server_error": reset or status >= 500,
            "attributes": shown | client,
            "server_attributes": shown | {"url.path": path},
        }
        print(json.dumps(line), flush=True)


def frames(data):
    """Where each begins."""
    at = 0
    while at < len(data):
        yield at
        at += 9 + int.from_bytes(data[at : at + 3])


def cut_at(client, length):
    """Sends two uploads, with a request behind each; a call ends so many bytes into the frame of the first
    request."""
    streams = []
    for path in [f"/cut/{length}", f"/behind/{length}"]:
        upload = client.ask("POST", "/upload", end=False)
        client.http.send_data(upload, b"x" * 6000, end_stream=True)
        streams += [upload, client.ask("GET", path)]
    data = client.http.data_to_send()
    # Of an upload are its head and its data.
    cut = list(frames(data))[2] + length
    client.socket.sendall(data[:cut])
    client.socket.sendall(data[cut:])
    client.finish(streams)


def main():
    client = Client()
    streams = [client.ask("GET", f"/parallel/{n}") for n in range(20)]
    streams.append(client.ask("GET", "/missing"))
    client.flush()
    client.finish(streams)

    slow = client.ask("GET", "/slow")
    client.flush()
    while slow not in client.status:
        client.hear()
    client.http.reset_stream(slow, 8)  # CANCEL
    client.flush()
    client.told(slow, reset=True)

    upload, left = client.ask("POST", "/upload", end=False), 300_000
    while left:
        room = min(left, client.http.local_flow_control_window(upload))
        room = min(room, client.http.max_outbound_frame_size)
        if not room:
            client.hear()
            continue
        client.http.send_data(upload, b"x" * room)
        client.flush()
        left -= room
    client.http.end_stream(upload)
    client.flush()
    client.finish([upload])

    for length in range(3, 9):
        cut_at(client, length)


main()
