"""`python healthcheck.py [livez|readyz|startupz]` exits with 0 if that probe of this container answers 200.

Images have no curl.
"""

import http.client
import os
import sys


def answers(probe: str, port: int) -> bool:
    """Whether the probe says yes within four seconds; a proxy of the environment is not asked."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", f"/{probe}")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    port = os.environ.get("EDIT_RRM_PROBE_PORT") or os.environ.get("EDIT_RRM_PORT") or "8000"
    sys.exit(not answers(sys.argv[1] if len(sys.argv) > 1 else "livez", int(port)))
