"""An OpenID provider for tests: discovery, keys, authorization code with PKCE, signed ID tokens."""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "lunaroute", "the client's secret"


class IdentityProvider:
    """Whoever comes is `claims`; `tamper` changes an ID token before it is signed, `key` signs it."""

    def __init__(self) -> None:
        self.claims: dict[str, object] = {}
        self.tamper = lambda claims: claims
        self.known = self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._get(self)

            def do_POST(self) -> None:
                provider._token(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self, **claims: object) -> None:
        """Let it be honest again, and sign this user in."""
        self.claims, self.tamper, self.key = claims, lambda given: given, self.known

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        url = urlsplit(request.path)
        if url.path == "/.well-known/openid-configuration":
            _json(
                request,
                {
                    "issuer": self.url,
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/keys",
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                },
            )
        elif url.path == "/keys":
            _json(request, {"keys": [self.known.as_dict(private=False)]})
        else:
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            request.send_response(302)
            request.send_header(
                "Location", f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
            )
            request.end_headers()

    def _token(self, request: BaseHTTPRequestHandler) -> None:
        sent = parse_qs(request.rfile.read(int(request.headers["Content-Length"])).decode())
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self.codes.pop(sent["code"][0], None)
        verifier = hashlib.sha256(sent["code_verifier"][0].encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        if (
            asked is None
            or request.headers["Authorization"] != f"Basic {basic}"
            or challenge != asked["code_challenge"]
        ):
            _json(request, {"error": "invalid_grant"}, 400)
            return
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": asked["nonce"], **self.claims,
        }  # fmt: skip
        token = jwt.encode({"alg": "RS256", "kid": "one"}, self.tamper(claims), self.key)
        _json(request, {"access_token": "a", "token_type": "Bearer", "id_token": token})


def _json(request: BaseHTTPRequestHandler, value: object, status: int = 200) -> None:
    body = json.dumps(value).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
