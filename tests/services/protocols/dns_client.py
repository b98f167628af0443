"""Asks a DNS server on 127.0.0.1, as dnspython does it, and says what it asked and was told.

    dns_client.py PORT [SUFFIX]

Names end in SUFFIX (`example.test`), so that a test knows its own. One line of JSON an answer.
"""

import json
import sys

import dns.message
import dns.query
import dns.rcode

QUESTIONS = [
    ("www", "A"),
    ("www", "AAAA"),
    ("nope", "A"),
    ("big", "TXT"),
    ("_http._tcp", "SRV"),
]


def main():
    port = int(sys.argv[1])
    suffix = sys.argv[2] if len(sys.argv) > 2 else "example.test"
    for transport, ask in [("udp", dns.query.udp), ("tcp", dns.query.tcp)]:
        for label, kind in QUESTIONS:
            name = f"{label}.{suffix}"
            question = dns.message.make_query(name, kind)
            answer = ask(question, "127.0.0.1", port=port, timeout=10)
            told = {
                "op": transport,
                "name": f"DNS query {kind}",
                "question": name,
                "code": dns.rcode.to_text(answer.rcode()),
            }
            print(json.dumps(told), flush=True)


main()
