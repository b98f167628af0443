"""A plan service as a WSGI application, for a server that runs it on a pool of threads."""

from plan import BODY, carry_out


def application(environ, start_response):
    carry_out(environ.get("HTTP_X_PLAN"))
    start_response("200 OK", [("Content-Length", str(len(BODY)))])
    return [BODY]
