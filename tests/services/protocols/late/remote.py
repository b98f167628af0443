"""Calls of services, and names."""

import os
import sys

from telling import LARGE, log

BESIDE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Last: files there have libraries' names.
sys.path.append(BESIDE)


class Http1:
    def __init__(self, port):
        import http.client

        self.base = f"http://127.0.0.1:{port}"
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask(self, method, path, body=None):
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

    def before(self, turn):
        self.ask("GET", f"/before/{turn}")
        return ["GET"]

    def marked(self):
        for method, path, body in [
            ("POST", "/one", "small"),
            ("PUT", "/two", LARGE),
            ("DELETE", "/three", None),
            ("PATCH", "/four", "x"),
        ]:
            status = self.ask(method, path, body)
            shown = {"http.response.status_code": status}
            log(
                method,
                attributes=shown | {"url.full": self.base + path},
                server_attributes=shown | {"url.path": path},
            )


class Http2:
    """By h2, over a connection that is its own."""

    def __init__(self, port):
        import socket

        import h2.connection

        self.authority = f"127.0.0.1:{port}"
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.http = h2.connection.H2Connection()
        self.http.initiate_connection()
        self.socket.sendall(self.http.data_to_send())

    def ask(self, method, path, body=None):
        import h2.events

        stream = self.http.get_next_available_stream_id()
        head = [(":method", method), (":path", path), (":scheme", "http")]
        head += [(":authority", self.authority), ("user-agent", "late")]
        self.http.send_headers(stream, head, end_stream=body is None)
        if body is not None:
            self.http.send_data(stream, body.encode(), end_stream=True)
        self.socket.sendall(self.http.data_to_send())
        status, ended = None, False
        while not ended:
            for event in self.http.receive_data(self.socket.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    length = event.flow_controlled_length
                    self.http.acknowledge_received_data(length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    ended = True
            self.socket.sendall(self.http.data_to_send())
        return status

    def before(self, turn):
        self.ask("GET", f"/before/{turn % 5}")
        return ["GET"]

    def marked(self):
        for method, path, body in [
            ("DELETE", "/one", None),
            ("DELETE", "/missing", None),
            ("PUT", "/three", "small"),
            ("POST", "/upload", "x"),
        ]:
            status = self.ask(method, path, body)
            shown = {"http.response.status_code": status}
            log(
                method,
                status if status >= 400 else None,
                server_error=status >= 500,
                attributes=shown,
                server_attributes=shown | {"url.path": path},
            )


class Grpc:
    SERVICE = "clew.test.Echo"

    def __init__(self, port):
        import grpc

        self.grpc = grpc
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.unary = self.channel.unary_unary(f"/{self.SERVICE}/Unary")

    def before(self, turn):
        self.unary(b"x" * (10_000 if turn % 3 == 0 else 10))
        # Which method it is was said long ago.
        return ["grpc"]

    def marked(self):
        path = f"/{self.SERVICE}/".__add__
        for _ in range(2):
            self.channel.stream_unary(path("Collect"))(iter([b"a", b"b", b"c"]))
            log(f"{self.SERVICE}/Collect")
            list(self.channel.unary_stream(path("Repeat"))(b"x" * 4))
            log(f"{self.SERVICE}/Repeat")
            try:
                self.channel.unary_unary(path("Fail"))(b"")
            except self.grpc.RpcError as error:
                log(f"{self.SERVICE}/Fail", error.code().name, server_error=False)


class FastCgi:
    SCRIPT = None

    def __init__(self, port):
        import socket

        import fastcgi

        self.fastcgi = fastcgi
        self.connection = socket.create_connection(("127.0.0.1", port), 20)

    def ask(self, method, uri, body=b""):
        return self.fastcgi.ask(self.connection, method, uri, body, self.SCRIPT)

    def before(self, turn):
        self.ask("GET", "/before")
        return ["GET"]

    def marked(self):
        for method, uri, body in [
            ("POST", "/orders", b"item=tea"),
            ("DELETE", "/missing", b""),
            ("PUT", "/orders?fail=1", b""),
            ("PATCH", "/orders", LARGE.encode()),
        ]:
            log(**self.fastcgi.operation(method, uri, self.ask(method, uri, body)))


class Php(FastCgi):
    SCRIPT = os.path.join(BESIDE, "fastcgi.php")


class Dns:
    def __init__(self, port):
        import socket

        import dns.message
        import dns.query
        import dns.rcode

        self.dns = dns
        self.socket = socket.create_connection(("127.0.0.1", port), 20)

    def ask(self, *questions):
        """All at once; says how they were answered."""
        questions = [self.dns.message.make_query(*question) for question in questions]
        for question in questions:
            self.dns.query.send_tcp(self.socket, question)
        answers = [self.dns.query.receive_tcp(self.socket)[0] for _ in questions]
        assert {answer.id for answer in answers} == {question.id for question in questions}
        return [self.dns.rcode.to_text(answer.rcode()) for answer in answers]

    def before(self, turn):
        if turn % 3 == 0:
            self.ask(("www.late.test", "A"))
            return ["DNS query A"]
        if turn % 3 == 1:
            self.ask(("large.late.test", "TXT"))
            return ["DNS query TXT"]
        self.ask(*[("www.late.test", "A")] * 3)
        return ["DNS query A"] * 3

    def marked(self):
        for label, kind in [("www", "AAAA"), ("_http._tcp", "SRV"), ("no", "MX")]:
            name = f"{label}.late.test"
            [code] = self.ask((name, kind))
            shown = {"dns.question.name": name, "clew.dns.response_code": code}
            error = None if code == "NOERROR" else code
            log(f"DNS query {kind}", error, server_error=False, attributes=shown)
        self.ask(("www.late.test", "PTR"), ("www.late.test", "NS"))
        log("DNS query PTR")
        log("DNS query NS")
