"""The trial of docs/browser: its JavaScript decodes a golden file to the symbols that it should have."""

from __future__ import annotations

from typing import Any

from tests.common import ROOT
from tests.portability import GOLDEN

ADDRESS = "http://localhost/"  # which nobody is asked for: every request is answered from the clone


def test_a_golden_file_has_equal_symbols_in_a_browser(browser: Any) -> None:
    (golden,) = GOLDEN.glob("visual-*-low.aec")

    def answer(route: Any) -> None:
        path = ROOT / route.request.url.removeprefix(ADDRESS).split("?")[0]
        if path.is_file() and "node_modules" not in path.parts:
            route.fulfill(path=path)
        else:
            route.fulfill(status=404)

    with browser.new_context() as context:
        tab = context.new_page()
        tab.route("**/*", answer)
        tab.goto(f"{ADDRESS}docs/browser/index.html?file={golden.relative_to(ROOT).as_posix()}")
        tab.wait_for_selector("#said:has-text('equal'), #said:has-text('failed')", timeout=60000)
        assert "symbols equal to the golden file's: yes" in tab.inner_text("#said")
