"""Addresses of mail: RFC 5321's Mailbox, as people write them (no quoted local part, no address literal)."""

from collections.abc import Iterator
from itertools import islice

from pii.detectors.base import Hit, Stretches, before, look, places, search
from pii.detectors.stretches import RARE, apart, near

_ADDRESS = search(
    r"[A-Za-z0-9_][A-Za-z0-9._%+'-]*@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]"
)
_LOCAL, _IN_HOST = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+'-", look("[A-Za-z0-9.-]*")
_HOST = look(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+(xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24})")

# In scripts of which the plain form keeps no letters (RFC 6531): hosts, and names before them.
_IN_OTHER_SCRIPTS = search(
    r"(?:[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}|\x01{1,16})@\x01{1,20}(?:\.[A-Za-z0-9\x01-]{1,20}){0,3}\.(?:[A-Za-z]{2,12}|\x01{1,4})"
)
_AT_OTHER = search(r"@\x01")

# ICANN's country codes and most used generic names: what ends so is an address.
_KNOWN = frozenset(
    (
        "com org net edu gov mil int info biz name pro io dev app ai co me tv cc us uk de fr it es nl be ch at se no fi dk pl "
        "cz sk hu ro bg gr pt ie ru ua tr il ae sa in cn jp kr tw hk sg my th vn id ph au nz br mx ar cl pe ve za ng ke "
        "eg ma eu asia cloud online tech site store shop xyz blog live email agency company group ltd health example test"
    ).split()
)
# What stands after the last dot of file names, of local hosts and of members in code.
_NO_DOMAIN = frozenset(
    (
        "zip mov rar png jpg jpeg gif svg webp avif ico bmp tif tiff pdf psd mp3 mp4 webm ogg wav woff woff2 ttf otf eot css scss less "
        "js jsx mjs cjs ts tsx json jsonl yaml yml toml xml html htm txt csv log lock map tgz gz bz2 xz tar whl jar war "
        "exe dll dylib deb rpm apk dmg iso img bin dat db sqlite bak tmp conf cfg ini env service socket timer mount "
        "target slice local localdomain lan internal intranet corp home localhost arpa onion svc cluster py rb go java kt "
        "swift cpp hpp php lua sql proto tf patch diff latest next alpha beta canary rc snapshot release final "
        "value values length shape size mean sum dot min max get set add run call apply map filter item items data "
        "weight bias grad detach float double int bool str type class func self this prototype window finish"
    ).split()
)
# Endings of files that may be named after somebody: jane@example.org.txt
_FILES = frozenset("txt log csv json jsonl xml html htm pdf yaml yml toml png jpg jpeg gz bak db sql conf".split())
_NO_LOCAL = frozenset("git hg svn this super return break continue yield".split())
_NO_HOST = frozenset(b"self this np torch tf math jnp".split())
# RFC 3986's userinfo, before the host of an address: a password there is a secret's detector's.
_IN_URL = search(r"[A-Za-z][A-Za-z0-9+.-]*:/{2}[^\s/?#\"'<>]*$")
_COMMAND = search(
    r"(?:^|[\s;&|`(])(?:(?:scp|rsync)[ \t][^|;&\n]*|(?:ssh|sftp|mosh|ssh-copy-id|sshfs)"
    r"(?:[ \t]+-[^\s]+(?:[ \t]+[^\s@-][^\s@]*)?)*[ \t]+)$"
)
# `host:path` of scp and git, a shell's prompt, a version behind a slash
_PATH = look(r":(?:[~/.]|[A-Za-z_][\w.-]*/|[A-Za-z][\w-]*\.git)|\(|[#$%](?:\s|$)|@")


def _stretches(data: bytes) -> Stretches | None:
    """All that may belong to an address: what stands about each @; None where these are too many for that to be of use."""
    most = len(data) // RARE
    signs = list(islice(places(data, b"@"), most + 1))
    if len(signs) > most:
        return None
    found, done = [], 0
    for place in signs:
        end = _IN_HOST.match(data, place + 1).end()  # type: ignore[union-attr]
        found.append((done + len(data[done:place].rstrip(_LOCAL)), end))
        done = place + 1
    return apart(found)


def emails(data: bytes) -> Iterator[Hit]:
    if b"@" not in data:
        return
    for match in _IN_OTHER_SCRIPTS.finditer(data, near(data, (_AT_OTHER,), 64, 200)):
        yield *match.span(), 0.8, "email"
    for match in _ADDRESS.finditer(data, _stretches(data)):
        start, end = match.span()
        local, _, host = match.group().rpartition(b"@")
        kept = local.lstrip(b"._%+'-")
        start, local = start + len(local) - len(kept), kept.rstrip(b"'")
        if not local or len(local) > 64 or len(host) > 253 or local.endswith(b".") or b".." in local:
            continue
        form = _HOST.match(host)
        if not form:
            continue
        end -= len(host) - form.end()  # a sentence went on without a space
        labels = form.group().lower().split(b".")
        top = form.group(1).decode().lower()
        if top in _FILES and len(labels) > 2 and not labels[0][:1].isdigit() and labels[-2].decode() in _KNOWN:
            end -= len(labels.pop()) + 1
            top = labels[-1].decode()
        if top in _NO_DOMAIN or labels[0] in _NO_HOST or local.decode().lower() in _NO_LOCAL:
            continue
        if all(label.strip(b"v0123456789-") == b"" for label in labels[:-1]):
            if len(labels) > 2 or labels[0].startswith(b"v"):
                continue  # name@1.2.x, action@v4.rc
        if _PATH.match(data, end) or (data[start - 1 : start] in (b"@", b"$") and start):
            continue
        context = before(data, start, 256)
        if (b"://" in context and _IN_URL.search(context)) or _COMMAND.search(context):
            continue
        yield start, end, 0.95 if top in _KNOWN or len(top) == 2 else 0.8, "email"
