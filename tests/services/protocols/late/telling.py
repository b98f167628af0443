"""What all of them use."""

import json

LARGE = "x" * 20_000


def log(name, error=None, **more):
    print(json.dumps({"name": name, "error": error, **more}), flush=True)
