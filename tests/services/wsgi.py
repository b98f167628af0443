"""A plan service as a WSGI application, for a server that runs it on a pool of threads."""

from plan import BODY, carry_out


def application(environ, start_response):
    status = carry_out(environ.get("HTTP_X_PLAN"))
    start_response(f"{status} Done", [("Content-Length", str(len(BODY)))])
    return [BODY]
