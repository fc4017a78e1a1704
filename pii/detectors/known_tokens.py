"""The formats by which vendors' keys and tokens are known: one line each. Facts only, as of November 2026, looked up in

- gitleaks' rules (config/gitleaks.toml, July 2026), TruffleHog's detectors (pkg/detectors, August 2026), and GitHub's list
  of supported secret scanning patterns: prefixes, alphabets and lengths;
- Microsoft's security-utilities (November 2025) for Azure's keys that carry a signature;
- the vendors' own pages, where `source` names one.

Lengths are given some room, as vendors make their tokens longer from time to time.
"""

from typing import NamedTuple


class Format(NamedTuple):
    """How tokens of one kind look.

    ``begins`` is what all of them begin with, and is searched for. After ``\\b`` it must not follow a letter or a digit (an
    underscore may stand before it); without, it is distinctive enough to be found however it is glued to what precedes.
    ``goes_on`` is the rest; a first group in it is the secret, if not all of it is. ``before`` is for what is known by its
    middle or its end: so many characters in front of ``begins`` belong to it and look so. ``then`` is how ``goes_on`` must go on at least, for beginnings that words and names have as well: it keeps the search fast.
    """

    name: str
    begins: str
    goes_on: str
    confidence: float
    source: str
    before: tuple[int, str] | None = None
    then: str = ""


_ = r"A-Za-z0-9_\-"  # base64url
_A, _X, _B = "[A-Za-z0-9]", "[0-9a-f]", "[A-Za-z0-9+/]"
_U = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_A10, _A20, _X10 = "[A-Za-z0-9]{10}", "[A-Za-z0-9]{20}", "[0-9a-f]{10}"
_W10, _W20 = r"[A-Za-z0-9_\-]{10}", r"[A-Za-z0-9_\-]{20}"
_END = r"(?![A-Za-z0-9])"
# Three digits of a number in base64, as in the first part of Discord's bot tokens.
_DIGITS = "[MNO][DTjz][AEIMQUYcgk][w-z0-5]"


def _mixed(alphabet: str, length: int) -> str:
    """Exactly so many characters, with letters of both cases and a digit among them: for short beginnings."""
    ahead = "".join(f"(?=[{alphabet}]{{0,{length - 1}}}[{kind}])" for kind in ("0-9", "A-Z", "a-z"))
    return f"{ahead}[{alphabet}]{{{length}}}(?![{alphabet}])"


FORMATS = (
    # Clouds and hosting
    Format("aws-access-key", r"(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|A3T[A-Z0-9])", r"[A-Z2-7]{16}|[A-Z0-9]{16}", 0.98, "AWS IAM: unique identifiers"),
    Format("aws-bedrock-key", r"\bABSK[A-Za-z0-9+/]", rf"{_B}{{108,268}}={{0,2}}", 0.98, "Amazon Bedrock: API keys", then="[A-Za-z0-9+/]{20}"),
    Format("aws-bedrock-short-term-key", r"bedrock-api-key-", r"[A-Za-z0-9+/=]{20,4096}", 0.98, "Amazon Bedrock: API keys"),
    Format("aws-appsync-key", r"\bda2-", r"[a-z0-9]{26}", 0.95, "AWS AppSync: API keys"),
    Format("aws-mws-token", r"\bamzn\.mws\.", _U, 0.95, "Amazon MWS"),
    Format("amazon-oauth-client-secret", r"\bamzn1\.(?:oa2-cs\.v1|application-oa2-client)\.", r"[0-9a-f]{32,64}", 0.95, "Login with Amazon"),
    Format("google-api-key", r"AIza", rf"[{_}]{{35}}{_END}", 0.98, "Google Cloud: API keys"),
    Format("google-oauth-secret", r"GOCSPX-", rf"[{_}]{{28}}", 0.98, "Google identity: client secrets"),
    Format("google-oauth-token", r"\bya29\.", rf"[{_}.]{{30,1024}}", 0.95, "Google identity: access tokens"),
    Format("google-refresh-token", r"\b1//0", rf"[{_}]{{40,512}}", 0.9, "Google identity: refresh tokens", then=_W20),
    Format("google-service-account-key-id", r'"private_key_id": ?"', r"([0-9a-f]{40})", 0.9, "Google Cloud: service account keys"),
    Format("azure-ad-client-secret", r"Q~", r"[A-Za-z0-9_~.\-]{31,34}(?![A-Za-z0-9_~\-])", 0.95, "Microsoft security-utilities", (4, r"(?<![A-Za-z0-9_~.\-])[A-Za-z0-9_~.\-]{3}[0-9]"), then=r"[A-Za-z0-9_~.\-]{20}"),
    Format("azure-storage-key", r"\+ASt", r"[A-Za-z0-9+/]{5}[AQgw]==", 0.98, "Microsoft security-utilities", (76, r"[A-Za-z0-9+/]{76}"), then="[A-Za-z0-9+/]{5}[AQgw]=="),
    Format("azure-batch-key", r"\+ABa", r"[A-Za-z0-9+/]{5}[AQgw]==", 0.98, "Microsoft security-utilities", (76, r"[A-Za-z0-9+/]{76}"), then="[A-Za-z0-9+/]{5}[AQgw]=="),
    Format("azure-cosmos-key", r"ACDb", r"[A-Za-z0-9+/]{5}[AQgw]==", 0.98, "Microsoft security-utilities", (76, r"[A-Za-z0-9+/]{76}"), then="[A-Za-z0-9+/]{5}[AQgw]=="),
    Format("azure-api-management-key", r"APIM", r"[A-Za-z0-9+/]{5}[AQgw]==", 0.98, "Microsoft security-utilities", (76, r"[A-Za-z0-9+/]{76}"), then="[A-Za-z0-9+/]{5}[AQgw]=="),
    Format("azure-ml-key", r"\+AMC", r"[A-Za-z0-9+/]{5}[AQgw]==", 0.98, "Microsoft security-utilities", (76, r"[A-Za-z0-9+/]{76}"), then="[A-Za-z0-9+/]{5}[AQgw]=="),
    Format("azure-messaging-key", r"(?:\+A(?:Rm|Eh|Sb)|AIoT|AZEG|AzCa)", r"[A-P][A-Za-z0-9+/]{5}=", 0.98, "Microsoft security-utilities", (33, r"[A-Za-z0-9+/]{33}"), then="[A-P][A-Za-z0-9+/]{5}="),
    Format("azure-function-key", r"AzFu", rf"[{_}]{{5}}[AQgw]==", 0.98, "Microsoft security-utilities", (44, rf"[{_}]{{44}}"), then=r"[A-Za-z0-9_\-]{5}[AQgw]=="),
    Format("azure-search-key", r"AzSe", rf"[A-D]{_A}{{5}}{_END}", 0.98, "Microsoft security-utilities", (42, rf"{_A}{{42}}"), then="[A-D][A-Za-z0-9]{5}"),
    Format("azure-registry-key", r"\+ACR", rf"[A-D]{_B}{{5}}", 0.98, "Microsoft security-utilities", (42, r"[A-Za-z0-9+/]{42}"), then="[A-D][A-Za-z0-9+/]{5}"),
    Format("azure-annotated-key", r"JQQJ9[9DH]", rf"{_A}[A-L]{_A}{{24}}(?:{_A}{{2}}==)?", 0.98, "Microsoft security-utilities (OpenAI, DevOps, Maps and others)", (52, rf"{_A}{{52}}"), then=_A20),
    Format("azure-account-key", r"(?i:(?:account|storage)key)=", rf"({_B}{{86}}==)", 0.98, "Azure Storage: connection strings"),
    Format("azure-shared-access-key", r"(?i:sharedaccesskey)=", rf"({_B}{{43}}=)", 0.98, "Azure: connection strings"),
    Format("azure-shared-access-signature", r"[?&;]sig=", r"([A-Za-z0-9%+/]{40,100}={0,2})", 0.95, "Azure Storage: shared access signatures"),
    Format("azure-app-configuration-key", r"\bEndpoint=https://", r"[A-Za-z0-9\-]{1,64}\.azconfig\.io;Id=[A-Za-z0-9+/=:\-]{1,100};Secret=([A-Za-z0-9+/=]{30,120})", 0.98, "Azure App Configuration"),
    Format("alibaba-access-key", r"\bLTAI", rf"{_A}{{12,24}}{_END}", 0.95, "Alibaba Cloud: AccessKey pairs", then=_A10),
    Format("tencent-secret-id", r"\bAKID", rf"{_A}{{32}}{_END}", 0.95, "Tencent Cloud: API keys", then=_A20),
    Format("yandex-api-key", r"\bAQVN", rf"[{_}]{{35,38}}(?![{_}])", 0.95, "Yandex Cloud: API keys"),
    Format("yandex-iam-token", r"\bt1\.", rf"[{_}]{{20,400}}={{0,2}}\.[{_}]{{86}}={{0,2}}", 0.95, "Yandex Cloud: IAM tokens"),
    Format("yandex-static-key", r"\bYC", _mixed(_, 38), 0.85, "Yandex Cloud: static access keys", then=_W20),
    Format("digitalocean-token", r"do[opr]_v1_", r"[0-9a-f]{64}", 0.98, "DigitalOcean: personal access tokens"),
    Format("heroku-key", r"HRKU-AA", rf"[{_}]{{58}}", 0.98, "Heroku: API keys"),
    Format("fly-token", r"(?:\bfo1_|fm1[ar]_|fm2_)", r"[A-Za-z0-9+/_\-]{40,2048}={0,3}", 0.98, "Fly.io: access tokens"),
    Format("render-key", r"\brnd_", rf"{_A}{{28,40}}", 0.95, "Render: API keys"),
    Format("vercel-token", r"\bvc[piark]_", rf"{_A}{{24,80}}", 0.95, "Vercel: tokens"),
    Format("vercel-blob-token", r"\bvercel_blob_rw_", rf"{_A}{{10,32}}_{_A}{{20,64}}", 0.98, "Vercel: Blob"),
    Format("netlify-token", r"\bnf[pcoub]_", r"[A-Za-z0-9_]{36,60}", 0.95, "Netlify: personal access tokens"),
    Format("cloudflare-token", r"\bcf(?:[ua]t|k)_", rf"{_A}{{40}}[0-9a-f]{{8}}", 0.98, "Cloudflare: API tokens"),
    Format("cloudflare-origin-ca-key", r"\bv1\.0-", r"[0-9a-f]{24}-[0-9a-f]{146}", 0.98, "Cloudflare: Origin CA keys"),
    Format("scalingo-token", r"\btk-us-", rf"[{_}]{{48}}", 0.98, "Scalingo: API tokens"),
    Format("aiven-token", r"\baivenv1", rf"{_A}{{80,400}}", 0.9, "Aiven: tokens"),
    Format("salad-key", r"\bsalad_cloud_", rf"{_A}{{1,7}}_{_A}{{7,235}}", 0.98, "TruffleHog"),
    Format("openshift-token", r"sha256~", rf"[{_}]{{43}}", 0.98, "OpenShift: user tokens"),
    Format("tailscale-key", r"tskey-", r"[a-z]{2,12}-[A-Za-z0-9_]{8,40}-[A-Za-z0-9_]{8,64}", 0.98, "Tailscale: key prefixes"),
    Format("defined-networking-key", r"\bdnkey-", r"[A-Za-z0-9=_\-]{26}-[A-Za-z0-9=_\-]{52}", 0.98, "Defined Networking: API keys"),
    Format("dynatrace-token", r"\bdt0[a-z][0-9]{2}\.", r"[A-Z0-9]{24}\.[A-Z0-9]{64}", 0.98, "Dynatrace: token format"),
    # Source code, builds and packages
    Format("github-token", r"gh[pousr]_", r"[A-Za-z0-9]{36,255}|[A-Za-z0-9_.\-]{36,1024}", 0.98, "GitHub: token prefixes"),
    Format("github-fine-grained-token", r"github_pat_", r"[A-Za-z0-9_]{36,255}", 0.98, "GitHub: token prefixes"),
    Format("gitlab-token", r"gl(?:pat|ptt|dt|rt|rtr|cbt|ft|oas|soat|agent|imt|ffct|wt)-", rf"[{_}.]{{20,300}}", 0.98, "GitLab: token overview"),
    Format("gitlab-runner-registration-token", r"GR1348941", rf"[{_}]{{20}}", 0.98, "GitLab: token overview"),
    Format("gitlab-session", r"_gitlab_session=", r"([0-9a-z]{32})", 0.95, "GitLab"),
    Format("bitbucket-token", r"\bAT(?:BB|CTT3)", rf"[{_}=]{{24,300}}", 0.95, "Bitbucket: app passwords, access tokens"),
    Format("bitbucket-server-token", r"\bBBDC-", r"[A-Za-z0-9+/@_\-]{40,50}", 0.95, "Bitbucket Data Center: HTTP access tokens"),
    Format("atlassian-token", r"\bAT(?:ATT3|STT3)", rf"[{_}=]{{60,300}}", 0.98, "Atlassian: API tokens"),
    Format("npm-token", r"npm_", r"[A-Za-z0-9]{36}", 0.98, "npm: about access tokens", then=_A10),
    Format("pypi-token", r"pypi-AgE", rf"[{_}]{{40,512}}", 0.98, "PyPI: API tokens (macaroons)"),
    Format("rubygems-key", r"rubygems_", rf"{_A}{{48}}", 0.98, "RubyGems: API keys"),
    Format("crates-io-token", r"\bcio", rf"{_mixed('A-Za-z0-9', 32)}", 0.9, "crates.io: API tokens", then=_A20),
    Format("nuget-key", r"\boy2[a-z2-7]", r"[a-z2-7]{42}(?![a-z0-9])", 0.95, "Microsoft security-utilities"),
    Format("clojars-token", r"(?i:clojars)_", r"[A-Za-z0-9]{60}", 0.98, "Clojars: deploy tokens"),
    Format("docker-token", r"dckr_(?:pat|oat)_", rf"[{_}]{{20,64}}", 0.98, "Docker: access tokens"),
    Format("artifactory-key", r"\bAKC[p-z]", rf"{_A}{{60,75}}", 0.98, "JFrog: API keys"),
    Format("artifactory-reference-token", r"\bcmVmd", rf"{_A}{{59}}", 0.98, "JFrog: reference tokens"),
    Format("buildkite-token", r"\bbk(?:ua|aa|aj|ct|pt|at|ac|pi|ps)_", rf"[{_}]{{32,120}}", 0.95, "Buildkite: token security"),
    Format("circleci-token", r"CCI(?:PAT|PRJ)_", rf"{_A}{{22}}_[0-9a-fA-F]{{40}}", 0.98, "CircleCI: API tokens"),
    Format("harness-token", r"\b[ps]at\.", rf"[{_}]{{22}}\.[A-Za-z0-9]{{24}}\.[A-Za-z0-9]{{20}}", 0.98, "Harness: API keys", then=_W20),
    Format("octopus-key", r"\bAPI-", rf"[A-Z0-9]{{25,34}}{_END}", 0.95, "Octopus Deploy: API keys", then="[A-Z0-9]{10}"),
    Format("sonar-token", r"\bsq[upa]_", r"[0-9a-f]{40}", 0.98, "SonarQube: tokens"),
    Format("sonarcloud-token", r"\bsqco_", rf"{_A}{{59}}", 0.98, "TruffleHog"),
    Format("snyk-token", r"\bsnyk_(?:uat|sat|eat)\.", rf"{_A}{{1,16}}\.[A-Za-z0-9._\-]{{20,200}}", 0.95, "Snyk: API tokens"),
    Format("sourcegraph-token", r"\bsg[pd]_", r"(?:(?:[0-9a-fA-F]{16}|local)_)?[0-9a-fA-F]{40,64}", 0.98, "Sourcegraph: access tokens"),
    Format("sourcegraph-license-key", r"\bslk_", r"[0-9a-f]{64}", 0.98, "Sourcegraph"),
    Format("spectral-token", r"\bspu-", r"[a-z0-9]{32}", 0.95, "TruffleHog"),
    Format("endor-key", r"\bendr\+", r"[A-Za-z0-9\-]{16}", 0.95, "TruffleHog"),
    Format("terraform-cloud-token", r"\.atlasv1\.", r"[A-Za-z0-9=_\-]{60,70}", 0.98, "HashiCorp: HCP Terraform tokens", (14, r"[A-Za-z0-9]{14}"), then=_W20),
    Format("vault-token", r"\bhv[sbr]\.", rf"[{_}]{{24,300}}", 0.95, "HashiCorp Vault: tokens"),
    Format("vault-legacy-token", r"\b[sb]\.", _mixed("A-Za-z0-9", 24), 0.85, "HashiCorp Vault: tokens", then=_A20),
    Format("doppler-token", r"\bdp\.(?:pt|st|ct|sa|said|scim|audit)\.", r"(?:[a-z0-9_\-]{2,35}\.)?[A-Za-z0-9]{40,44}", 0.98, "Doppler: auth token formats"),
    Format("infracost-key", r"\bico-", rf"{_A}{{32}}", 0.95, "Infracost: API keys", then=_A10),
    Format("pulumi-token", r"\bpul-", r"[0-9a-f]{40}", 0.98, "Pulumi: access tokens"),
    Format("prefect-key", r"\bpn[ub]_", rf"{_A}{{36}}", 0.98, "Prefect: API keys"),
    Format("onepassword-service-account", r"\bops_eyJ", r"[A-Za-z0-9+/_\-]{250,4096}={0,3}", 0.98, "1Password: service accounts"),
    Format("onepassword-secret-key", r"\bA3-", r"[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}", 0.98, "1Password: Secret Key"),
    Format("portainer-token", r"\bptr_", r"[A-Za-z0-9/_\-+=]{20,60}", 0.85, "Portainer: access tokens", then=_W10),
    Format("age-key", r"AGE-SECRET-KEY-(?:PQ-)?1", r"[A-Z0-9]{58,3200}", 0.98, "age: secret keys (Bech32)"),
    Format("linear-key", r"\blin_(?:api|oauth)_", r"[A-Za-z0-9]{40,64}", 0.98, "Linear: API keys"),
    Format("figma-token", r"\bfig(?:p|d|o[rh]?|u[rh]?|[rh])_", r"[A-Za-z0-9_=\-]{40,54}", 0.98, "Figma: personal access tokens"),
    Format("postman-key", r"PMAK-", r"[0-9a-f]{24}-[0-9a-f]{34}", 0.98, "Postman: API keys"),
    Format("readme-key", r"\brdme_", r"[a-z0-9]{70}", 0.98, "ReadMe: API keys"),
    Format("rapidapi-key", r"jsn", r"[0-9a-f]{12}(?![A-Za-z0-9])", 0.9, "RapidAPI: keys", (35, r"[0-9a-f]{10}msh[0-9a-f]{15}p1[0-9a-f]{5}"), then="[0-9a-f]{12}"),
    Format("launchdarkly-key", r"\b(?:api|sdk|mob)-", _U, 0.95, "LaunchDarkly: keys"),
    Format("apify-token", r"apify_api_", r"[A-Za-z0-9\-]{36}", 0.98, "Apify: API tokens"),
    Format("wakatime-key", r"\bwaka_", _U, 0.98, "WakaTime: API keys"),
    Format("adafruit-io-key", r"\baio_", rf"{_A}{{28}}", 0.98, "Adafruit IO: keys"),
    Format("maxmind-key", r"_mmk", _END, 0.98, "MaxMind: license keys", (36, r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}"), then="(?:[^0-9A-Za-z_]|$)"),
    Format("robinhood-key", r"\brh-api-", _U, 0.95, "Robinhood Crypto: API keys"),
    # Data, search and analytics
    Format("databricks-token", r"\bdapi[0-9a-f]", r"[0-9a-f]{31}(?:-[0-9])?", 0.95, "Databricks: personal access tokens"),
    Format("planetscale-token", r"pscale_(?:tkn|oauth|pw)_", r"[A-Za-z0-9_=.\-]{32,64}", 0.98, "PlanetScale: service tokens"),
    Format("supabase-token", r"\bsbp_", r"(?:[a-z0-9]{2,8}_)?[a-z0-9]{40,64}", 0.98, "Supabase: access tokens"),
    Format("supabase-key", r"\bsb_(?:secret|publishable)_", rf"[{_}]{{20,64}}", 0.98, "Supabase: API keys"),
    Format("neon-key", r"\bnapi_", r"[a-z0-9]{40,80}", 0.98, "Neon: API keys"),
    Format("pinecone-key", r"\bpcsk_", r"[A-Za-z0-9_]{30,90}", 0.98, "Pinecone: API keys"),
    Format("clickhouse-key", r"\b4b1d", rf"{_mixed('A-Za-z0-9', 38)}", 0.95, "ClickHouse Cloud: API keys", then=_A20),
    Format("confluent-key", r"\bcflt", r"[A-Za-z0-9+/]{60}(?![A-Za-z0-9+/])", 0.9, "Confluent Cloud: API keys", then=_A20),
    Format("sentry-token", r"sntr(?:ys|yu|ya|yi)_", r"[A-Za-z0-9+/=_]{40,500}", 0.98, "Sentry: auth tokens"),
    Format("grafana-token", r"\bgl(?:c|sa)_", r"[A-Za-z0-9+/_]{32,400}={0,3}", 0.98, "Grafana: tokens"),
    Format("grafana-key", r"\beyJrIjoi", r"[A-Za-z0-9]{40,400}={0,3}", 0.95, "Grafana: API keys"),
    Format("new-relic-key", r"\bNR(?:AK|II|IQ|JS|BR|RA|AA|SP)-", r"[A-Za-z0-9_\-]{19,64}", 0.95, "New Relic: API keys"),
    Format("new-relic-license-key", r"FFFFNRAL", _END, 0.95, "New Relic: license keys", (32, r"[0-9a-f]{32}|eu01xx[0-9a-f]{26}"), then="(?:[^0-9A-Za-z-]|$)"),
    Format("new-relic-older-license-key", r"NRAL", _END, 0.95, "New Relic: license keys", (36, r"[0-9a-f]{36}|eu01xx[0-9a-f]{30}"), then="(?:[^0-9A-Za-z-]|$)"),
    Format("new-relic-mobile-token", r"-NRMA", _END, 0.95, "New Relic: mobile app tokens", (42, r"(?:AA[0-9a-f]{40}|eu01xx[0-9a-f]{36})"), then="(?:[^0-9A-Za-z-]|$)"),
    Format("datadog-token", r"\bdd(?:[pw]|apikey|api|app)_", rf"{_A}{{32,48}}", 0.95, "Datadog: tokens"),
    Format("posthog-key", r"\bph[cxsar]_", r"[A-Za-z0-9_]{40,56}", 0.95, "PostHog: API keys"),
    Format("langsmith-key", r"\blsv2_(?:pt|sk)_", r"[0-9a-f]{32}_[0-9a-f]{10}", 0.98, "LangSmith: API keys"),
    Format("langsmith-legacy-key", r"\bls__", r"[0-9a-f]{32}", 0.95, "LangSmith: API keys"),
    Format("langfuse-key", r"\b[sp]k-lf-", _U, 0.98, "Langfuse: API keys"),
    Format("braintrust-key", r"\bsk-bt-", rf"[{_}]{{30,120}}", 0.95, "Braintrust: API keys"),
    Format("pganalyze-key", r"\bpgar_", rf"{_A}{{27}}", 0.95, "TruffleHog"),
    Format("rootly-key", r"\brootly_", r"[0-9a-f]{64}", 0.98, "Rootly: API keys"),
    Format("pagerduty-key", r"\bu\+", r"[A-Za-z0-9_+\-]{18}(?![A-Za-z0-9_+\-])", 0.8, "PagerDuty: API access keys", then=_W10),
    Format("ubidots-key", r"\bBBFF-", rf"{_A}{{30}}", 0.95, "TruffleHog"),
    Format("voiceflow-key", r"\bVF\.", r"(?:(?:DM|WS)\.)?[0-9a-fA-F]{24}\.[A-Za-z0-9]{16}", 0.98, "Voiceflow: API keys", then=r"(?:[DW][MS]\.)?[0-9a-fA-F]{10}"),
    Format("mapbox-token", r"\b[spt]k\.eyJ", rf"[{_}]{{40,250}}\.[{_}]{{20,40}}", 0.95, "Mapbox: access tokens"),
    Format("contentful-token", r"CFPAT-", rf"[{_}]{{43}}", 0.98, "Contentful: personal access tokens"),
    Format("sanity-token", r"\bsk", _mixed("A-Za-z0-9", 79), 0.85, "Sanity: tokens", then=_A20),
    Format("stackhawk-key", r"\bhawk\.", rf"[{_}]{{20}}\.[{_}]{{20}}", 0.95, "StackHawk: API keys"),
    Format("shelf-token", r"\bshltm_", rf"[{_}]{{40}}", 0.95, "TruffleHog"),
    Format("ramp-key", r"\bramp_(?:id|sec)_", rf"{_A}{{40,48}}", 0.95, "Ramp: API"),
    Format("zoho-token", r"\b1000\.", r"[0-9a-f]{32}\.[0-9a-f]{32}", 0.95, "Zoho: OAuth tokens"),
    Format("hubspot-token", r"\bpat-(?:eu|na|ap)[0-9]-", _U, 0.98, "HubSpot: private apps"),
    Format("airtable-token", r"\bpat[A-Za-z0-9]{14}\.", r"[0-9a-f]{64}", 0.98, "Airtable: personal access tokens", then=_X10),
    Format("notion-token", r"\b(?:ntn_|secret_)", r"(?=[A-Za-z]{0,50}[0-9])[A-Za-z0-9]{43,50}", 0.95, "Notion: integration tokens", then=_A20),
    Format("asana-token", r"\b[0-9]{1,2}/[0-9]{14,18}(?:/[0-9]{14,18})?:", r"[0-9a-f]{32}", 0.95, "Asana: personal access tokens"),
    Format("clickup-token", r"\bpk_[0-9]{6,9}_", r"[0-9A-Z]{32}", 0.98, "ClickUp: API tokens"),
    Format("typeform-token", r"\btfp_", r"[A-Za-z0-9_.=\-]{40,60}", 0.98, "Typeform: personal access tokens"),
    Format("frameio-token", r"\bfio-u-", r"[A-Za-z0-9=_\-]{64}", 0.98, "Frame.io: developer tokens"),
    Format("adobe-client-secret", r"\bp8e-", r"[A-Za-z0-9_\-]{32}", 0.98, "Adobe: OAuth credentials"),
    Format("dropbox-token", r"\bsl\.", r"(?:[uAB]\.|[A-Za-z0-9\-]{0,3})?[A-Za-z0-9_=\-]{60,2048}", 0.95, "Dropbox: OAuth guide", then=r"[A-Za-z0-9_.=\-]{20}"),
    Format("teamwork-token", r"\btkn\.v1_", rf"{_A}{{71}}=?", 0.95, "TruffleHog"),
    Format("intra42-secret", r"\b[us]-s4t2(?:ud|af)-", r"[0-9a-fA-F]{64}", 0.98, "42 Intra: API"),
    Format("settlemint-token", r"\bsm_[aps]at_", rf"{_A}{{16,64}}", 0.95, "SettleMint: access tokens"),
    Format("authress-key", r"\b(?:sc|ext|scauth|authress)_", r"[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_\-][A-Za-z0-9\-]{10,32}\.[A-Za-z0-9+/_=\-]{30,120}", 0.98, "Authress: service clients", then="[A-Za-z0-9]{5}"),
    Format("clerk-key", r"\b[sp]k_(?:live|test)_", r"[A-Za-z0-9+/]{20,120}={0,2}\$?", 0.95, "Clerk: keys"),
    Format("okta-token", r"\bSSWS ", rf"(00[{_}]{{38,42}})", 0.95, "Okta: API tokens"),
    Format("salesforce-token", r"\b00[A-Za-z0-9]{13}!", r"[A-Za-z0-9_.]{80,160}", 0.98, "Salesforce: access tokens"),
    Format("salesforce-consumer-key", r"\b3MVG9", r"[A-Za-z0-9._+/=]{80,251}", 0.95, "Salesforce: connected apps"),
    Format("salesforce-refresh-token", r"\b5[Aa][Ee][Pp]861", r"[A-Za-z0-9._=]{60,200}", 0.95, "TruffleHog"),
    Format("intercom-token", r"\bdG9rO", r"[A-Za-z0-9+/]{50,70}={0,2}", 0.95, "Intercom: access tokens"),
    Format("beamer-key", r"\bb_", r"(?=[A-Za-z+/]{0,43}[0-9])[A-Za-z0-9+/=_\-]{44}(?![A-Za-z0-9_\-])", 0.8, "Beamer: API keys", then=_W20),
    Format("duffel-token", r"duffel_(?:test|live)_", r"[A-Za-z0-9=_\-]{43}", 0.98, "Duffel: access tokens"),
    # Messages and mail
    Format("slack-token", r"(?:xox[abeoprscd]-|xoxe\.xox[bp]-|xapp-)", r"[A-Za-z0-9%\-]{10,250}", 0.98, "Slack: token types"),
    Format("slack-webhook", r"\bhooks\.slack\.com/", r"(?:services|workflows|triggers)/([A-Za-z0-9_/+]{20,120})", 0.95, "Slack: incoming webhooks"),
    Format("discord-webhook", r"\bdiscord(?:app)?\.com/api/(?:v[0-9]{1,2}/)?webhooks/", rf"([0-9]{{17,20}}/[{_}]{{60,80}})", 0.98, "Discord: webhooks"),
    Format("discord-token", rf"\b(?:{_DIGITS}){{4}}", rf"[{_}]{{7,14}}\.[{_}]{{5,7}}\.[{_}]{{25,45}}", 0.95, "Discord: bot tokens"),
    Format("discord-mfa-token", r"\bmfa\.", rf"[{_}]{{84}}", 0.95, "Discord"),
    Format("teams-webhook", r"\.webhook\.office\.com/webhookb2/", r"([0-9a-f\-]{36}@[0-9a-f\-]{36}/IncomingWebhook/[0-9a-z]{32}/[0-9a-f\-]{36})", 0.98, "Microsoft Teams: incoming webhooks"),
    Format("zapier-webhook", r"\bhooks\.zapier\.com/hooks/catch/", r"([0-9]{4,10}/[A-Za-z0-9]{5,16})", 0.95, "Zapier: webhooks"),
    Format("tines-webhook", r"\.tines\.com/webhook/", r"([a-z0-9]{32}/[a-z0-9]{32})", 0.95, "TruffleHog"),
    Format("google-chat-webhook", r"\bchat\.googleapis\.com/v1/spaces/", rf"([{_}]{{8,20}}/messages\?key=[{_}]{{30,45}}&token=[{_}%=]{{30,60}})", 0.95, "Google Chat: webhooks"),
    Format("telegram-token", r"\b[0-9]{8,10}:AA", rf"[{_}]{{33}}", 0.98, "Telegram: Bot API"),
    Format("sendgrid-key", r"\bSG\.", rf"[{_}]{{16,32}}\.[{_}]{{16,64}}", 0.98, "SendGrid: API keys", then=_W10),
    Format("twilio-key", r"\b(?:SK|AC)[0-9a-f]", r"[0-9a-f]{31}(?![0-9a-f])", 0.9, "Twilio: API keys, account SIDs", then=_X10),
    Format("mailgun-key", r"\b(?:pub)?key-[0-9a-f]", r"[0-9a-f]{31}(?![0-9a-f])", 0.9, "Mailgun: API keys", then=_X10),
    Format("mailgun-signing-key", r"\b[0-9a-h]{32}-[0-9a-h]{8}-", r"[0-9a-h]{8}(?![0-9a-z\-])", 0.9, "Mailgun: signing keys"),
    Format("mailchimp-key", r"-us[0-9]", rf"[0-9]?{_END}", 0.95, "Mailchimp: API keys", (32, r"(?<![0-9a-z])[0-9a-f]{32}"), then=r"[0-9]?(?:[^0-9A-Za-z\-]|$)"),
    Format("mandrill-key", r"\bmd-", _mixed(_, 22), 0.8, "Mailchimp Transactional: API keys", then=_W10),
    Format("brevo-key", r"xkeysib-", r"[0-9a-f]{64}-[A-Za-z0-9]{16}", 0.98, "Brevo: API keys"),
    Format("brevo-smtp-key", r"xsmtpsib-", r"[0-9a-f]{64}-[A-Za-z0-9]{16}", 0.98, "Brevo: SMTP keys"),
    Format("resend-key", r"\bre_", rf"(?=[A-Za-z0-9_]{{0,32}}[0-9])(?=[A-Za-z0-9_]{{0,32}}[A-Z]){_A}{{8,10}}_{_A}{{20,40}}", 0.95, "Resend: API keys", then="[A-Za-z0-9]{8}"),
    Format("telnyx-key", r"\bKEY0", rf"[{_}]{{50,60}}", 0.95, "Telnyx: API keys"),
    Format("lark-secret", r"\bcli_", r"[0-9a-f]{16}(?![0-9a-z])", 0.8, "Lark: app credentials", then=_X10),
    Format("smooch-key", r"\bact_", r"[0-9a-f]{24}(?![0-9a-z])", 0.8, "TruffleHog (Smooch)", then=_X10),
    Format("pubnub-key", r"\b(?:pub|sub|sec)-c-", r"(?:[0-9a-z]{8}-[0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{12}|[A-Za-z0-9]{48})", 0.95, "PubNub: keys"),
    # Payments and shops
    Format("stripe-key", r"(?:sk|rk|pk)_(?:live|test|prod|org_live|org_test)_", r"[A-Za-z0-9]{10,250}", 0.98, "Stripe: API keys"),
    Format("stripe-webhook-secret", r"whsec_", r"[A-Za-z0-9+/]{24,100}={0,2}", 0.98, "Stripe: webhook signatures"),
    Format("stripe-intent-secret", r"\b(?:pi|seti)_[A-Za-z0-9]{24}_secret_", rf"{_A}{{25}}", 0.95, "Stripe: client secrets"),
    Format("checkout-key", r"\b[sp]k_(?:sbox_|test_)?", rf"(?:[a-z2-7]{{26}}[a-z2-7*#$=]{_END}|{_U})", 0.9, "Checkout.com: API keys", then="[a-z0-9]{8}"),
    Format("square-token", r"\bEAAA[A-Za-z0-9]", rf"[{_}]{{55,80}}", 0.9, "Square: access tokens"),
    Format("square-oauth-secret", r"sq0[a-z]{3}-", rf"[{_}]{{22,60}}", 0.98, "Square: OAuth"),
    Format("paypal-token", r"\baccess_token\$(?:production|sandbox)\$", r"[0-9a-z]{16}\$[0-9a-f]{32}", 0.98, "PayPal Braintree: access tokens"),
    Format("plaid-token", r"\b(?:access|public|link|processor)-(?:sandbox|development|production)-", _U, 0.98, "Plaid: tokens"),
    Format("razorpay-key", r"\brzp_(?:live|test)_", rf"{_A}{{14}}", 0.95, "Razorpay: API keys"),
    Format("flutterwave-key", r"FLW(?:SECK|PUBK)(?:_TEST)?-", r"(?:[0-9a-zA-Z]{32}-X|[0-9a-zA-Z]{12,32})", 0.98, "Flutterwave: API keys"),
    Format("paystack-key", r"\bsk_(?:live|test)_", r"[0-9a-f]{40}", 0.98, "Paystack: API keys"),
    Format("easypost-key", r"\bEZ[AT]K", rf"{_A}{{54}}", 0.98, "EasyPost: API keys"),
    Format("shippo-token", r"shippo_(?:live|test)_", r"[0-9a-fA-F]{40}", 0.98, "Shippo: API tokens"),
    Format("shopify-token", r"shp(?:at|ca|pa|ss|tka)_", r"[0-9a-fA-F]{32}", 0.98, "Shopify: access tokens"),
    Format("lob-key", r"\b(?:live|test)_(?:pub_)?", r"[0-9a-f]{31,35}(?![0-9a-f])", 0.95, "Lob: API keys", then=_X10),
    Format("gocardless-token", r"\b(?:live|sandbox)_", _mixed(_, 40), 0.85, "GoCardless: access tokens", then=_W10),
    Format("adyen-key", r"\bAQE[a-z]hmfx", r"[A-Za-z0-9+/=\-<>(){}\[\]!?;:.,^~*]{60,250}", 0.95, "Adyen: API keys"),
    Format("mollie-key", r"\b(?:live|test)_", _mixed("A-Za-z0-9", 30), 0.85, "Mollie: API keys", then=_A10),
    Format("facebook-token", r"\bEAA[A-Z]", rf"{_A}{{90,1024}}", 0.95, "Meta: access tokens", then=_A10),
    Format("facebook-app-token", r"\b[0-9]{13,17}\|", rf"[{_}]{{27,40}}(?![{_}])", 0.95, "Meta: app access tokens"),
    Format("instagram-token", r"\bIG(?:QV|QW|AA)", rf"[{_}]{{50,400}}", 0.95, "Meta: Instagram tokens"),
    Format("twitter-bearer-token", r"\bA{20,24}", r"[A-Za-z0-9%]{60,120}", 0.95, "X: bearer tokens"),
    Format("linkedin-secret", r"\bWPL_AP[0-9]\.", r"[A-Za-z0-9]{16}\.[A-Za-z0-9+/=]{8}", 0.98, "LinkedIn: client secrets"),
    Format("besttime-key", r"\bpr[io]_", r"[0-9a-f]{32}(?![0-9a-z])", 0.85, "TruffleHog", then=_X10),
    Format("klaviyo-key", r"\bpk_", r"(?:[A-Za-z0-9]{6}_)?[0-9a-f]{34}(?![0-9a-z])", 0.95, "Klaviyo: private API keys", then="[A-Za-z0-9]{6}[0-9a-f_]"),
    Format("alchemy-key", r"\balcht_", rf"{_A}{{30}}", 0.95, "Alchemy: API keys"),
    # Models
    Format("anthropic-key", r"sk-ant-", rf"[{_}]{{20,250}}", 0.98, "Anthropic: API keys"),
    Format("openai-key", r"sk-(?:proj|svcacct|service|admin|None)-", rf"[{_}]{{20,250}}", 0.98, "OpenAI: API keys"),
    Format("openrouter-key", r"sk-or-v1-", r"[0-9a-f]{40,80}", 0.98, "OpenRouter: API keys"),
    Format("compatible-key", r"\bsk-(?:lf|bt|kimi|cp|api[0-9]{2}|live|test)-", rf"(?=[A-Za-z_\-]{{0,80}}[0-9])[{_}]{{24,250}}", 0.95, "Moonshot, MiniMax and compatible: API keys"),
    Format("secret-key", r"\bsk-", r"(?=[A-Za-z]{0,128}[0-9])[A-Za-z0-9]{20,128}(?![A-Za-z0-9_-])", 0.9, "OpenAI and compatible: older API keys", then=_A10),
    Format("elevenlabs-key", r"\bsk_", r"[0-9a-f]{48}(?![0-9a-z])", 0.98, "ElevenLabs: API keys"),
    Format("photoroom-key", r"\bsk_pr_", r"[A-Za-z0-9]{1,64}_[0-9a-fA-F]{40}", 0.98, "Photoroom: API keys"),
    Format("huggingface-token", r"\b(?:hf_|api_org_)", r"[A-Za-z0-9]{30,64}", 0.98, "Hugging Face: user access tokens", then=_A10),
    Format("groq-key", r"gsk_", r"[A-Za-z0-9]{40,64}", 0.98, "Groq: API keys"),
    Format("xai-key", r"\bxai-", r"[A-Za-z0-9_]{70,100}", 0.98, "xAI: API keys"),
    Format("perplexity-key", r"pplx-", r"[A-Za-z0-9]{40,64}", 0.98, "Perplexity: API keys"),
    Format("replicate-token", r"\br8_", r"[A-Za-z0-9_\-]{37}", 0.95, "Replicate: API tokens"),
    Format("nvidia-key", r"nvapi-", rf"[{_}]{{50,80}}", 0.98, "NVIDIA: API keys"),
    Format("cerebras-key", r"\bcsk-", r"[a-z0-9]{40,64}", 0.98, "Cerebras: API keys"),
    Format("fireworks-key", r"\bfw_", rf"(?=[A-Za-z]{{0,24}}[0-9]){_A}{{20,32}}{_END}", 0.95, "Fireworks: API keys", then=_A10),
    Format("together-key", r"tgp_v1_", rf"[{_}]{{40,60}}", 0.98, "Together: API keys"),
    Format("anyscale-key", r"esecret_", rf"{_A}{{20,64}}", 0.98, "Anyscale: API keys"),
    Format("modal-token", r"\ba[ks]-", _mixed("A-Za-z0-9", 22), 0.95, "Modal: tokens", then=_A10),
    Format("voyage-key", r"\bpa-", _mixed(_, 43), 0.95, "Voyage: API keys", then=_W10),
    Format("jina-key", r"\bjina_", r"[0-9a-f]{32}[A-Za-z0-9_\-]{20,40}", 0.98, "Jina: API keys"),
    Format("tavily-key", r"\btvly-", rf"(?:dev-|prod-)?[{_}]{{20,64}}", 0.98, "Tavily: API keys"),
    Format("firecrawl-key", r"\bfc-", r"[0-9a-f]{32}(?![0-9a-z])", 0.95, "Firecrawl: API keys", then=_X10),
    Format("browserbase-key", r"\bbb_live_", rf"[{_}]{{24,40}}", 0.98, "Browserbase: API keys"),
    Format("e2b-key", r"\be2b_", r"[0-9a-f]{40}", 0.98, "E2B: API keys"),
    Format("llamacloud-key", r"\bllx-", rf"{_A}{{40,60}}", 0.98, "LlamaCloud: API keys"),
    Format("mem0-key", r"\bm0-", _mixed("A-Za-z0-9", 40), 0.95, "Mem0: API keys", then=_A10),
    Format("weights-and-biases-key", r"\bwandb_v1_", rf"[{_}]{{60,120}}", 0.98, "Weights & Biases: API keys"),
    Format("runpod-key", r"\brpa_", r"[A-Z0-9]{40,50}", 0.98, "RunPod: API keys"),
    # Applications' back ends
    Format("inngest-key", r"\bsignkey-(?:prod|test|branch|dev)-", r"[0-9a-f]{32,128}", 0.98, "Inngest: signing keys"),
    Format("trigger-key", r"\btr_(?:dev|prod|stg|preview|pat)_", rf"{_A}{{20,64}}", 0.95, "Trigger.dev: API keys"),
    Format("polar-token", r"\bpolar_(?:oat|pat|at_[uo]|rt_[uo]|whs|cst|mst|cs|rs|ci|crt)_", r"[A-Za-z0-9]{32,64}", 0.98, "Polar: tokens"),
    Format("convex-key", r"\b(?:prod|dev|preview|project):[a-z0-9:\-]{3,64}\|", r"[A-Za-z0-9+/=]{40,400}", 0.95, "Convex: deploy keys"),
    Format("secret-server-key", r"\bsk_(?:dev|prod|live|test|staging)_", rf"[{_}]{{20,120}}", 0.95, "Liveblocks, WorkOS: secret keys"),
    Format("courier-key", r"\b[ps]k_(?:prod|test)_", rf"{_A}{{28}}", 0.95, "Courier: API keys"),
    Format("ticket-tailor-key", r"\bsk_[0-9]{1,5}_[0-9]{1,8}_", r"[0-9a-f]{32}", 0.95, "Ticket Tailor: API keys"),
    Format("chec-key", r"\bsk(?:_test)?_(?:1|2|3|5|10)x[123]_", r"[0-9a-fA-F]{64}", 0.95, "TruffleHog"),
    Format("flightlabs-key", r"\bflb_live_", rf"{_A}{{20}}", 0.95, "TruffleHog"),
    Format("nightfall-key", r"\bNF-", _mixed("A-Za-z0-9", 32), 0.95, "Nightfall: API keys", then=_A10),
    Format("apollo-graphql-key", r"\b(?:service|user):[A-Za-z0-9_\-]{1,64}:", _mixed("A-Za-z0-9_-", 22), 0.9, "Apollo GraphOS: API keys", then=_W10),
    Format("ngrok-key", r"\bak_[0-9][A-Za-z0-9]{26}", "", 0.85, "ngrok: API keys"),
)  # fmt: skip

# Signed or encrypted tokens (RFC 7519, RFC 7516) are known by their first letters and their dots: see `formats`.
JSON_WEB_TOKEN = Format("json-web-token", r"\beyJ", "", 0.95, "RFC 7519, RFC 7516", then=_W10)

# Values that vendors' own documents show: nobody's.
EXAMPLES = {
    b"AKIAIOSFODNN7EXAMPLE": "AWS: managing access keys",
    b"AKIAI44QH8DHBEXAMPLE": "AWS CLI: configuration files",
    b"ASIAIOSFODNN7EXAMPLE": "AWS STS: temporary credentials",
    b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "AWS: managing access keys",
    b"je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY": "AWS CLI: configuration files",
    b"sk_" + b"test_4eC39HqLyjWDarjtT1zdp7dc": "Stripe: API reference",
    b"sk_" + b"test_BQokikJOvBiI2HlWgH4olfQ2": "Stripe: API keys",
    b"sk_" + b"test_tR3PYbcVNZZ796tH88S4VQ2u": "Stripe: API reference",
    b"pk_" + b"test_TYooMQauvdEDq54NiTphI7jx": "Stripe: API keys",
    b"pk_" + b"test_6pRNASCoBOKtIshFeQd4XMUh": "Stripe: Elements",
    b"ghp_" + b"16C7e42F292c6912E7710c838347Ae178B4a": "GitHub: OAuth",
    b"gho_" + b"16C7e42F292c6912E7710c838347Ae178B4a": "GitHub: authorizing OAuth apps",
    b"ghu_" + b"16C7e42F292c6912E7710c838347Ae178B4a": "GitHub: user access tokens",
    b"ghr_" + b"1B4a2e77838347a7E420ce178F2E7c6912E169246c34E1ccbF66C46812d16D5B1A9Dc86A1498": "GitHub: refreshing tokens",
    b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ"
    b".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c": "jwt.io",
    b"123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11": "Telegram: Bot API",
    b"110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw": "Telegram: Bot API",
}  # fmt: skip
