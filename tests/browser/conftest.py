"""What the tests in a real browser share."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.server import RunningServer
from tests.support.tools import chromium


# No longer than a module: while its loop runs, Django refuses to ask the database.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield found
        found.close()


# What examines the look sees each of both in the other scheme, too (assert_accessible).
SIZES = [(400, "dark"), (1600, "light")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Show each page narrow and wide, dark and light."""
    if "page" in metafunc.fixturenames and not hasattr(metafunc.module, "page"):
        metafunc.parametrize("page", SIZES, ids=lambda p: f"{p[0]}-{p[1]}", indirect=True)


@pytest.fixture
def page(request, browser: Browser, site: RunningServer) -> Iterator[Page]:
    """A page of the module's `site`, of one size and scheme. It may have no complaint, nor ask anybody else."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, base_url=site.url)
    page = context.new_page()
    page.problems = []
    page.on(
        "console", lambda message: page.problems.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "request", lambda asked: None if asked.url.startswith((site.url, "data:")) else page.problems.append(asked.url)
    )
    yield page
    assert not page.problems
    context.close()
