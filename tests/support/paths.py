"""Ways of writing one address as others, and of saying that it lies elsewhere."""

from itertools import product

from tests.support.raw import Answer, RawClient
from tests.support.server import RunningServer

# Headers by which some server or framework lets a client say where an application's paths begin, or which path it wants.
MOVING = (
    "Daphne-Root-Path: {0}", "daphne-root-path: {0}", "Daphne_Root_Path: {0}", "Daphne-Root-Path: /x\r\nDaphne-Root-Path: {0}",
    "DAPHNE-ROOT-PATH: {0}\r\nDaphne-Root-Path: /x", "Daphne-Root-Path:\t%2F{1}", "Root-Path: {0}", "Script-Name: {0}",
    "SCRIPT_NAME: {0}", "X-Script-Name: {0}", "X-Forwarded-Prefix: {0}", "X-Original-URL: {0}/x", "X-Rewrite-URL: {0}/x",
    "Path-Info: {0}", "PATH_INFO: {0}",
)  # fmt: skip


def spellings(path: str) -> list[str]:
    """Ways of writing `path` that some server takes for it, and ways of making it look like one that is open."""
    first, rest = path[1], path[2:]
    return [
        path, f"/%{ord(first):02x}{rest}", f"/%25{ord(first):02x}{rest}", f"/{path}", f"{path}/", f"{path}//", f"/.{path}",
        f"/x/..{path}", f"/%2e{path}", f"/owner/..{path}", f"/owner/%2e%2e{path}", f"/static/..{path}", f"/static/..%2f{path[1:]}",
        f"/login/..{path}", f"/owner/{path}", f"{path}/.", f"{path};a=b", f"{path};/owner/", f"/;/..{path}", f"{path}#/owner/",
        f"{path}%23", f"/owner/#/..{path}", f"\\{path[1:]}", f"/\\{path[1:]}", f"/owner\\..{path}", f"{path}\\", path.upper(),
        f"{path}%00", f"{path}%20", f"{path}%0a", f"{path}?/owner/",
    ]  # fmt: skip


def ways(server: RunningServer, path: str, root: str = "/owner") -> list[tuple[str, str]]:
    """Targets, each with header lines or none, that might pass a gate in front of `path`. `root` is open to anybody."""
    found = [(target, "") for target in spellings(path)]
    found += [
        (f"http://{host}{target}", "") for host in ("evil.example", "localhost") for target in spellings(path)[:3]
    ]
    found += [
        (target, f"{header.format(root, root[1:])}\r\n") for header, target in product(MOVING, (f"{root}{path}", path))
    ]
    return found


def ask(server: RunningServer, target: str, headers: str = "", method: str = "GET", body: bytes = b"") -> Answer:
    """Send a request whose target nobody tidies."""
    with RawClient(server.port) as client:
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost:{server.port}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        client.send(head.encode("latin-1") + body)
        return client.answer(method.encode())


def is_served(answer: Answer) -> bool:
    """Tell whether an address of LunaRoute's own gave what it has; a provider's answers have no such policy."""
    return answer.status < 300 and b"frame-ancestors 'none'" in answer.head
