"""STS for tokens of service accounts, which it has the API server judge; and what their roles may read.

A role is taken by a service account that its trust names, for the audience of STS. What Secrets Manager is asked then
has to be signed by keys that were given out, with their session token.
"""

import datetime
import json
import re
import threading
import urllib.parse

from .stand_in import StandIn

_ERROR = "<ErrorResponse><Error><Type>Sender</Type><Code>{0}</Code><Message>{1}</Message></Error></ErrorResponse>"
_KEYS = ("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{0}</AccessKeyId>"
         "<SecretAccessKey>{1}</SecretAccessKey><SessionToken>{2}</SessionToken><Expiration>{3}</Expiration></Credentials>"
         "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")
AUDIENCE = "sts.amazonaws.com"


class WebIdentity(StandIn):
    """Context manager. `trust`: role's ARN → "namespace/name" of the account; `secrets`: ARN → text, for all roles."""

    method = "POST"
    key_id, secret_key = "ASIAOFTHEACCOUNT", "secret-key-of-the-account"

    def __init__(self, api, trust: dict, secrets: dict, seconds: int = 3600):
        self.api, self.trust, self.secrets, self.seconds = api, trust, secrets, seconds
        self.tokens: list[str] = []
        self.sessions: list[str] = []
        self.refused: list[str] = []
        self._lock = threading.Lock()

    def answer(self, request) -> tuple[int, str]:
        body = request.rfile.read(int(request.headers["Content-Length"])).decode()
        with self._lock:
            if "X-Amz-Target" in request.headers:
                return self._secret(json.loads(body)["SecretId"], request.headers)
            return self._become(dict(urllib.parse.parse_qsl(body)))

    def _become(self, form: dict) -> tuple[int, str]:
        if form["Action"] != "AssumeRoleWithWebIdentity":
            return 403, _ERROR.format("AccessDenied", "not allowed")
        review = self.api.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": form["WebIdentityToken"], "audiences": [AUDIENCE]}})["status"]
        if not review.get("authenticated") or review.get("audiences") != [AUDIENCE]:
            return 400, _ERROR.format("InvalidIdentityToken", "no such token")
        who = review["user"]["username"].removeprefix("system:serviceaccount:").replace(":", "/")
        if self.trust.get(form["RoleArn"]) != who:
            self.refused.append(who)
            return 403, _ERROR.format("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        self.tokens.append(form["WebIdentityToken"])
        self.sessions.append(f"session-{len(self.sessions)}-of-{who}")
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.seconds)
        return 200, _KEYS.format(self.key_id, self.secret_key, self.sessions[-1], ends.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def _secret(self, arn: str, headers) -> tuple[int, str]:
        key = re.search("Credential=([^/]+)/", headers.get("Authorization", ""))
        if not key or key[1] != self.key_id or headers.get("X-Amz-Security-Token") not in self.sessions:
            return 400, json.dumps({"__type": "UnrecognizedClientException", "message": "the token is invalid"})
        if arn not in self.secrets:
            return 400, json.dumps({"__type": "ResourceNotFoundException", "message": "there is none"})
        return 200, json.dumps({"VersionId": "v1", "SecretString": self.secrets[arn]})
