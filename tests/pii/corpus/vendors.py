"""Vendors' keys and tokens by the grammar that their pages and the scanners' rules give: «{A36}» is 36 letters and digits."""

import re
import string
from random import Random
from uuid import UUID

_UPPER, _LOWER, _DIGITS = string.ascii_uppercase, string.ascii_lowercase, string.digits
_ALPHABETS = {
    "A": _UPPER + _LOWER + _DIGITS,
    "W": _UPPER + _LOWER + _DIGITS + "-_",
    "B": _UPPER + _LOWER + _DIGITS + "+/",
    "x": "0123456789abcdef",
    "l": _LOWER + _DIGITS,
    "N": _UPPER + _DIGITS,
    "Z": _UPPER + "234567",
    "z": _LOWER + "234567",
    "a": _LOWER + _UPPER,
    "9": _DIGITS,
}

# One line a kind; parts are joined so that no scanner takes this file for a leak.
TEMPLATES = {
    "1password": ["ops_e" + "yJ{B280}", "A" + "3-{N6}-{N11}-{N5}-{N5}-{N5}"], "adafruit": ["ai" + "o_{A28}"], "adobe": ["p8" + "e-{A32}"],
    "age": ["AGE-SEC" + "RET-KEY-1{N58}"], "airtable": ["pa" + "t{A14}.{x64}"], "alibaba": ["LT" + "AI{A20}"], "anthropic": ["sk" + "-ant-api03-{W93}AA", "sk" + "-ant-admin01-{W93}AA"],
    "anyscale": ["ese" + "cret_{A32}"], "apify": ["apify" + "_api_{A36}"], "artifactory": ["AK" + "Cp{A69}", "cmV" + "mdGtu{A56}"], "atlassian": ["ATA" + "TT3{W180}={N8}", "AT" + "CTT3xFfG{W160}={N8}"],
    "aws": ["AK" + "IA{Z16}", "AS" + "IA{Z16}", "AB" + "SK{B120}"], "azure": ["{A3}8Q" + "~{W34}", "{B76}+AS" + "t{B5}g==", "{B76}AC" + "Db{B5}A==", "{A42}Az" + "SeA{A5}", "{W44}Az" + "Fu{W5}w==", "{B42}+AC" + "RB{B5}", "{B33}+AE" + "hC{B5}=", "{A52}JQ" + "QJ99{A1}B{A24}"],
    "azure storage": ["DefaultEndpointsProtocol=https;AccountName=store;Account" + "Key=«{B86}==»;EndpointSuffix=core.windows.net"],
    "bitbucket": ["AT" + "BB{A32}", "BB" + "DC-{A44}"], "braintree": ["access_to" + "ken$production${l16}${x32}"], "brevo": ["xk" + "eysib-{x64}-{A16}"], "browserbase": ["bb_" + "live_{W27}"], "buildkite": ["bk" + "ua_{l40}", "bk" + "aa_{A60}"],
    "cerebras": ["cs" + "k-{l48}"], "circleci": ["CCI" + "PAT_{A22}_{x40}", "CCI" + "PRJ_{A22}_{x40}"], "clickhouse": ["4b" + "1d{A38}"], "clickup": ["pk" + "_{98}_{N32}"], "clojars": ["CLO" + "JARS_{l60}"],
    "cloudflare": ["cf" + "ut_{A40}{x8}", "cf" + "at_{A40}{x8}", "v1" + ".0-{x24}-{x146}"], "contentful": ["CF" + "PAT-{W43}"], "crates.io": ["ci" + "o{A32}"], "databricks": ["da" + "pi{x32}", "da" + "pi{x32}-2"],
    "defined networking": ["dn" + "key-{A26}-{A52}"], "digitalocean": ["do" + "p_v1_{x64}", "do" + "r_v1_{x64}"], "discord": ["https://discord.com/api/web" + "hooks/«{918}/{W68}»", "M" + "TAwMjAwMzAwNDAwNTAw{A4}.{W6}.{W38}"],
    "docker": ["dc" + "kr_pat_{W27}"], "doppler": ["dp" + ".pt.{A43}", "dp" + ".st.dev_main.{A43}", "dp" + ".ct.{A43}"], "dropbox": ["sl" + ".u.{W135}", "sl" + ".B{W135}"], "duffel": ["duffel" + "_live_{W43}"], "dynatrace": ["dt" + "0c01.{Z24}.{Z64}", "dt" + "0s16.{Z24}.{Z64}"],
    "e2b": ["e2" + "b_{x40}"], "easypost": ["EZ" + "AK{A54}", "EZ" + "TK{A54}"], "elevenlabs": ["sk" + "_{x48}"], "facebook": ["EA" + "AC{A160}", "{916}|" + "{W27}"], "figma": ["fi" + "gd_{W40}", "fi" + "gp_{W40}"], "firecrawl": ["fc" + "-{x32}"],
    "fireworks": ["fw" + "_{A24}"], "flutterwave": ["FLW" + "SECK-{l32}-X", "FLW" + "SECK_TEST-{l32}-X"], "fly": ["fo" + "1_{W43}", "fm" + "2_{B400}=="], "frame.io": ["fi" + "o-u-{W64}"], "github": ["gh" + "p_{A36}", "gh" + "s_{A36}", "github" + "_pat_{A22}_{A59}"],
    "gitlab": ["gl" + "pat-{W20}", "gl" + "dt-{W20}", "gl" + "rt-{W20}", "gl" + "ft-{W20}", "gl" + "soat-{W20}", "gl" + "cbt-64_{W20}", "gl" + "pat-{W27}.01.{l9}", "GR" + "1348941{W20}"], "google": ["AI" + "za{W35}", "GOC" + "SPX-{W28}", "ya" + "29.{W120}"],
    "grafana": ["gl" + "sa_{A32}_{x8}", "gl" + "c_eyJ{A120}==", "ey" + "JrIjoi{A90}=="], "groq": ["gs" + "k_{A52}"], "harness": ["pa" + "t.{A22}.{x24}.{A20}"], "heroku": ["HR" + "KU-AA{W58}"], "hubspot": ["pa" + "t-na1-{U}"], "huggingface": ["h" + "f_{a34}", "api" + "_org_{a34}"],
    "infracost": ["ic" + "o-{A32}"], "inngest": ["sign" + "key-prod-{x64}"], "intra42": ["s-s4" + "t2ud-{x64}"], "jina": ["ji" + "na_{x32}{W28}"], "klaviyo": ["p" + "k_{x34}"], "langfuse": ["sk" + "-lf-{U}", "pk" + "-lf-{U}"], "langsmith": ["ls" + "v2_pt_{x32}_{x10}", "ls" + "v2_sk_{x32}_{x10}"],
    "launchdarkly": ["api" + "-{U}", "sdk" + "-{U}"], "linear": ["lin" + "_api_{A40}"], "linkedin": ["WPL" + "_AP1.{A16}.{A6}=="], "lob": ["li" + "ve_{x35}", "te" + "st_pub_{x31}"], "mailchimp": ["{x32}" + "-us14"], "mailgun": ["ke" + "y-{x32}"], "mapbox": ["sk" + ".eyJ{A80}.{A22}", "pk" + ".eyJ{A80}.{A22}"],
    "maxmind": ["{A6}_{A29}" + "_mmk"], "microsoft teams": ["https://acme.webhook.office.com/web" + "hookb2/«{U}@{U}/IncomingWebhook/{x32}/{U}»"], "modal": ["a" + "k-{A22}", "a" + "s-{A22}"], "neon": ["na" + "pi_{l64}"], "netlify": ["nf" + "p_{A36}"],
    "new relic": ["NR" + "AK-{N27}", "NR" + "II-{W32}", "NR" + "JS-{x19}", "{x36}" + "NRAL"], "notion": ["nt" + "n_{911}{A35}", "sec" + "ret_{A43}"], "npm": ["np" + "m_{A36}"], "nuget": ["oy" + "2{z43}"], "nvidia": ["nv" + "api-{W64}"], "octopus": ["AP" + "I-{N26}"],
    "openai": ["sk" + "-proj-{W74}T3BlbkFJ{W74}", "sk" + "-{A20}T3BlbkFJ{A20}", "sk" + "-svcacct-{W58}T3BlbkFJ{W58}"], "openrouter": ["sk" + "-or-v1-{x64}"], "openshift": ["sha" + "256~{W43}"], "perplexity": ["pp" + "lx-{A48}"], "pinecone": ["pc" + "sk_{A6}_{A63}"], "plaid": ["access" + "-production-{U}"],
    "planetscale": ["psc" + "ale_tkn_{W43}", "psc" + "ale_pw_{W43}", "psc" + "ale_oauth_{W43}"], "polar": ["pol" + "ar_oat_{A43}"], "posthog": ["ph" + "x_{A44}", "ph" + "c_{A43}"], "postman": ["PM" + "AK-{x24}-{x34}"], "prefect": ["pn" + "u_{l36}"], "pulumi": ["pu" + "l-{x40}"], "pypi": ["py" + "pi-AgEIcHlwaS5vcmc{W120}"],
    "rapidapi": ["{x10}m" + "sh{x15}p1{x5}jsn{x12}"], "readme": ["rd" + "me_{l70}"], "render": ["rn" + "d_{A28}"], "replicate": ["r" + "8_{A37}"], "resend": ["r" + "e_{A8}_{A24}"], "rubygems": ["ruby" + "gems_{x48}"], "salesforce": ["00{A13}" + "!{A96}"], "scalingo": ["tk" + "-us-{W48}"],
    "sendgrid": ["S" + "G.{W22}.{W43}"], "sentry": ["sntr" + "yu_{x64}", "sntr" + "ys_eyJpYXQiO{A150}=_{B43}"], "settlemint": ["sm_" + "pat_{A16}"], "shippo": ["ship" + "po_live_{x40}"], "shopify": ["shp" + "at_{x32}", "shp" + "ss_{x32}"], "slack": ["xo" + "xb-{912}-{913}-{A24}", "xa" + "pp-1-A{N10}-{913}-{x64}", "https://hooks.slack.com/ser" + "vices/«T{N8}/B{N8}/{A24}»"],
    "sonar": ["sq" + "u_{x40}", "sq" + "p_{x40}", "sq" + "a_{x40}"], "sourcegraph": ["sg" + "p_{x16}_{x40}", "sg" + "p_{x40}", "sl" + "k_{x64}"], "square": ["sq" + "0atp-{W22}", "sq" + "0csp-{W43}", "EA" + "AA{W60}"], "stripe": ["sk" + "_live_{A24}", "rk" + "_live_{A99}", "wh" + "sec_{A32}"], "supabase": ["sb" + "p_{x40}", "sb" + "_secret_{W31}"],
    "tailscale": ["tsk" + "ey-auth-{A11}CNTRL-{A32}", "tsk" + "ey-api-{A11}CNTRL-{A32}"], "tavily": ["tv" + "ly-dev-{A32}", "tv" + "ly-{A32}"], "telegram": ["{99}:" + "AA{W33}"], "terraform": ["{A14}.at" + "lasv1.{W67}"], "together": ["tg" + "p_v1_{W43}"], "trigger": ["tr" + "_prod_{A20}"], "twilio": ["S" + "K{x32}", "A" + "C{x32}"], "typeform": ["tf" + "p_{A59}"],
    "vault": ["hv" + "s.{W92}", "hv" + "b.{W140}"], "vercel": ["vc" + "p_{A56}"], "voiceflow": ["VF" + ".DM.{x24}.{A16}"], "voyage": ["p" + "a-{W43}"], "wakatime": ["wa" + "ka_{U}"], "weights and biases": ["wan" + "db_v1_{A77}"], "xai": ["xa" + "i-{A80}"], "yandex": ["t1" + ".{A40}.{W86}", "AQ" + "VN{A36}"], "zapier": ["https://hooks.zapier.com/ho" + "oks/catch/«{97}/{l7}»"], "zoho": ["10" + "00.{x32}.{x32}"],
    "aikido": ["AIK" + "_SECRET_{A64}", "AIK" + "_CI_{A28}"], "alibaba sts": ["ST" + "S.{A28}"], "asaas": ["$aa" + "ct_prod_000{A120}"], "astra": ["Astra" + "CS:{a24}:{x64}"], "brave": ["BS" + "A{A28}"], "canva": ["cn" + "vca{A51}"], "cloudsmith": ["cs" + "a_{x30}{A6}"],
    "cockroach": ["CCD" + "B1_{A22}_{A40}"], "configcat": ["config" + "cat-sdk-1/{W22}/{W22}"], "devcycle": ["dv" + "c_server_{l32}", "dv" + "c_mobile_{A28}"], "devin": ["ap" + "k_user_{B130}", "co" + "g_{z52}"], "docker swarm": ["SWM" + "TKN-1-{l50}-{l25}", "SWM" + "KEY-1-{B43}"],
    "dynatrace lower case": ["dt" + "0c01.{A24}.{A64}"], "elastic": ["es" + "su_{W80}"], "exoscale": ["EX" + "O{A26}"], "fly older": ["Fly" + "V1 fm1r_{B300}"], "gemini": ["A" + "Q.Ab8RN6{W44}"], "ionic": ["io" + "n_{A42}"], "langsmith upper case": ["ls" + "v2_pt_0AB{x29}_{x10}"], "lichess": ["li" + "p_{A20}"],
    "mailersend": ["ml" + "sn.{x64}"], "mercury": ["secret-token:mer" + "cury_production_wma_{A43}_yrucrem"], "mergify": ["mergify" + "_application_key_{W60}"], "minimax": ["sk" + "-api-{W119}"], "mongodb atlas": ["mdb" + "_sa_sk_{W40}"], "neon mixed case": ["na" + "pi_{A64}"], "onesignal": ["os" + "_v2_app_{z103}"],
    "onfido": ["api" + "_live_us.{W11}.{W32}", "api" + "_sandbox.{W40}"], "paddle": ["pd" + "l_live_apikey_{l26}_{A22}_{A3}"], "persona": ["per" + "sona_production_{l36}"], "pinterest": ["pi" + "na_{A60}"], "polar with signs": ["pol" + "ar_oat_{W40}", "pol" + "ar_at_{W40}"], "redirect.pizza": ["rp" + "a_{A30}"],
    "runpod": ["rp" + "a_{N40}{A6}"], "samsara": ["sam" + "sara_api_{A30}"], "segment": ["sg" + "p_{A64}"], "square with signs": ["EA" + "AA{W22}"], "tableau": ["{A22}" + "==:{A32}"], "thunderstore": ["ts" + "s_{A40}"], "twilio upper case": ["S" + "KAB{x30}"], "unkey": ["un" + "key_{A24}"], "upcloud": ["uc" + "at_{A30}"],
    "val town": ["vt" + "wn_{A32}"], "workato": ["wr" + "ka-eyJ{A20}.{A80}.{W86}"], "zuplo": ["zp" + "ka_{x32}_{x8}"],
}  # fmt: skip


def made(random: Random, template: str) -> str:
    """A value by its grammar. It ends in a letter or a digit, as where it ends is then certain in any text."""

    def part(match: re.Match[str]) -> str:
        if match.group(1) == "U":
            return str(UUID(int=random.getrandbits(128), version=4))
        kind, length = match.group(1)[0], int(match.group(1)[1:])
        drawn = random.choices(_ALPHABETS[kind], k=length)
        if kind in "WB":
            drawn[0], drawn[-1] = random.choice(_LOWER), random.choice(_LOWER)
        if kind in "AW" and length >= 12:  # as nearly all of them have
            drawn[1:4] = random.choice(_LOWER), random.choice(_DIGITS), random.choice(_UPPER)
        return "".join(drawn)

    return re.sub(r"\{(U|[A-Za-z9]\d+)\}", part, template)


def vendor_tokens(random: Random) -> list[tuple[str, str, str, str]]:
    """One of each kind: the vendor, what stands before the secret, the secret, what stands after it."""
    tokens = []
    for vendor, templates in TEMPLATES.items():
        for template in templates:
            before, _, rest = made(random, template).rpartition("«")
            secret, _, after = rest.partition("»")
            tokens.append((vendor, before, secret, after))
    return tokens
