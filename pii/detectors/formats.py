"""Secrets that are known by their form alone. One line a form: name, how it begins, how it goes on, confidence, source."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from pii.detectors.base import Hit, look, search


class Format(NamedTuple):
    name: str
    begins: str  # what all of its kind begin with: RE2 finds it
    goes_on: str  # the rest, at that place; a first group is the secret, if not all of it is
    confidence: float
    source: str


_ = r"A-Za-z0-9_\-"  # base64url
FORMATS = (
    Format("aws-access-key", r"\b(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA)", r"[A-Z2-7]{16}|[A-Z0-9]{16}", 0.98, "AWS IAM: unique identifiers"),
    Format("google-api-key", r"\bAIza", rf"[{_}]{{35}}", 0.98, "Google Cloud: API keys"),
    Format("google-oauth-secret", r"\bGOCSPX-", rf"[{_}]{{28}}", 0.98, "Google identity: client secrets"),
    Format("google-oauth-token", r"\bya29\.", rf"[{_}.]{{30,1024}}", 0.95, "Google identity: access tokens"),
    Format("github-token", r"\bgh[pousr]_", r"[A-Za-z0-9]{36,255}", 0.98, "GitHub: token prefixes"),
    Format("github-fine-grained-token", r"\bgithub_pat_", r"[A-Za-z0-9_]{36,255}", 0.98, "GitHub: token prefixes"),
    Format("gitlab-token", r"\bgl(?:pat|ptt|dt|rt|cbt|ft|oas|soat|agent|imt|ffct)-", rf"[{_}.]{{20,300}}", 0.98, "GitLab: token overview"),
    Format("slack-token", r"\bxox[abeoprsc]-|\bxapp-", r"[A-Za-z0-9-]{10,250}", 0.98, "Slack: token types"),
    Format("slack-webhook", r"\bhooks\.slack\.com/", r"(?:services|workflows|triggers)/([A-Za-z0-9_/]{20,120})", 0.95, "Slack: incoming webhooks"),
    Format("stripe-key", r"\b(?:sk|rk|pk)_(?:live|test)_", r"[A-Za-z0-9]{10,250}", 0.98, "Stripe: API keys"),
    Format("stripe-webhook-secret", r"\bwhsec_", r"[A-Za-z0-9+/]{24,100}={0,2}", 0.98, "Stripe: webhook signatures"),
    Format("anthropic-key", r"\bsk-ant-", rf"[{_}]{{20,250}}", 0.98, "Anthropic: API keys"),
    Format("openai-key", r"\bsk-(?:proj|svcacct|admin|None)-", rf"[{_}]{{20,250}}", 0.98, "OpenAI: API keys"),
    Format("openrouter-key", r"\bsk-or-v1-", r"[0-9a-f]{40,80}", 0.98, "OpenRouter: API keys"),
    Format("secret-key", r"\bsk-", r"(?=[A-Za-z0-9]*[0-9])[A-Za-z0-9]{20,128}(?![A-Za-z0-9_-])", 0.9, "OpenAI and compatible: older API keys"),
    Format("npm-token", r"\bnpm_", r"[A-Za-z0-9]{36}", 0.98, "npm: about access tokens"),
    Format("pypi-token", r"\bpypi-AgE", rf"[{_}]{{40,512}}", 0.98, "PyPI: API tokens (macaroons)"),
    Format("huggingface-token", r"\b(?:hf_|api_org_)", r"[A-Za-z0-9]{30,64}", 0.98, "Hugging Face: user access tokens"),
    Format("telegram-token", r"\b[0-9]{8,10}:AA", rf"[{_}]{{33}}", 0.98, "Telegram: Bot API"),
    Format("sendgrid-key", r"\bSG\.", rf"[{_}]{{16,32}}\.[{_}]{{16,64}}", 0.98, "SendGrid: API keys"),
    Format("twilio-key", r"\b(?:SK|AC)[0-9a-f]", r"[0-9a-f]{31}", 0.9, "Twilio: API keys, account SIDs"),
    Format("mailgun-key", r"\bkey-", r"[0-9a-f]{32}", 0.9, "Mailgun: API keys"),
    Format("digitalocean-token", r"\bdo[opr]_v1_", r"[0-9a-f]{64}", 0.98, "DigitalOcean: personal access tokens"),
    Format("shopify-token", r"\bshp(?:at|ca|pa|ss)_", r"[0-9a-fA-F]{32}", 0.98, "Shopify: access tokens"),
    Format("vault-token", r"\bhv[sbr]\.", rf"[{_}]{{24,300}}", 0.95, "HashiCorp Vault: tokens"),
    Format("databricks-token", r"\bdapi[0-9a-f]", r"[0-9a-f]{31}", 0.95, "Databricks: personal access tokens"),
    Format("docker-token", r"\bdckr_(?:pat|oat)_", rf"[{_}]{{20,64}}", 0.98, "Docker: access tokens"),
    Format("groq-key", r"\bgsk_", r"[A-Za-z0-9]{40,64}", 0.98, "Groq: API keys"),
    Format("xai-key", r"\bxai-", r"[A-Za-z0-9]{70,100}", 0.98, "xAI: API keys"),
    Format("perplexity-key", r"\bpplx-", r"[A-Za-z0-9]{40,64}", 0.98, "Perplexity: API keys"),
    Format("replicate-token", r"\br8_", r"[A-Za-z0-9]{37}", 0.95, "Replicate: API tokens"),
    Format("linear-key", r"\blin_api_", r"[A-Za-z0-9]{40}", 0.98, "Linear: API keys"),
    Format("notion-token", r"\b(?:ntn_|secret_)", r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{43,50}", 0.95, "Notion: integration tokens"),
    Format("age-key", r"\bAGE-SECRET-KEY-1", r"[A-Z0-9]{58}", 0.98, "age: secret keys (Bech32)"),
    Format("atlassian-token", r"\bATATT3", rf"[{_}=]{{60,300}}", 0.98, "Atlassian: API tokens"),
    Format("square-token", r"\bEAAA[A-Za-z0-9]", rf"[{_}]{{55,80}}", 0.9, "Square: access tokens"),
    Format("json-web-token", r"\beyJ", rf"[{_}]{{10,4096}}\.eyJ[{_}]{{4,8192}}\.[{_}]*|[{_}]{{10,4096}}\.[{_}]*\.[{_}]{{8,64}}\.[{_}]{{8,8192}}\.[{_}]{{8,64}}", 0.95, "RFC 7519, RFC 7516"),
)  # fmt: skip

_MORE = 10  # characters after a beginning, without which it is none
_BEGINS = search(f"(?:{'|'.join(form.begins for form in FORMATS)})[A-Za-z0-9_./+-]{{{_MORE}}}")
_WHOLE = [(look(f"(?:{form.begins})"), look(f"(?:{form.begins})(?:{form.goes_on})"), form) for form in FORMATS]
_REPEATED = search(r"(?i)(?:x{8}|\*{4}|\.{4}|0{16}|your[_-]?|placeholder|redacted)")


@lru_cache(maxsize=4096)
def _of(beginning: bytes) -> list[tuple]:
    return [(whole, form) for begins, whole, form in _WHOLE if begins.fullmatch(beginning)]


def formats(data: bytes) -> Iterator[Hit]:
    done = 0
    for match in _BEGINS.finditer(data):
        start = match.start()
        if start < done or (start and data[start - 1] in b"-" and data[start - 2 : start - 1].isalnum()):
            continue
        for whole, form in _of(match.group()[:-_MORE]):
            found = whole.match(data, start)
            if not found or _REPEATED.search(found.group()):
                continue
            yield *found.span(1 if found.lastindex else 0), form.confidence, form.name
            done = found.end()
            break
