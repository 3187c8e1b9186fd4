"""The built site in a real browser, opened from its files: `SITE=docs/_site`."""

import html
import os
import re
import time
from pathlib import Path

import pytest
import test_report


browser = test_report.browser

LOOK = """(() => {
    const pen = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true})
    const known = {}
    const parts = colour => known[colour] ??= (
        pen.clearRect(0, 0, 1, 1), pen.fillStyle = colour, pen.fillRect(0, 0, 1, 1),
        [...pen.getImageData(0, 0, 1, 1).data].map(x => x / 255))
    const over = ([r, g, b, a], ground) =>
        [r, g, b].map((x, i) => a * x + (1 - a) * ground[i])
    const behind = part => part ? over(
        parts(getComputedStyle(part).backgroundColor), behind(part.parentElement))
        : [1, 1, 1]
    const light = colour => colour
        .map(x => x < 0.04 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
        .reduce((sum, x, i) => sum + [0.2126, 0.7152, 0.0722][i] * x, 0.05)
    const faint = part => {
        const ground = behind(part)
        const ink = over(parts(getComputedStyle(part).color), ground)
        const [low, high] = [ink, ground].map(light).sort((a, b) => a - b)
        return high < 4.5 * low
    }
    const seen = {opacityProperty: true, visibilityProperty: true}
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    const told = new Set()
    for (let text; text = texts.nextNode();) {
        const part = text.parentElement
        if (text.data.trim() && part.checkVisibility(seen) && faint(part))
            told.add(`faint: ${text.data.trim()}`)
        if (text.data.includes("$") && !part.closest("pre, code, script, style"))
            told.add(`no equation: ${text.data.trim()}`)
    }
    for (const image of document.images)
        if (!image.alt.trim() || !image.naturalWidth)
            told.add(`image without a text, or missing: ${image.src.slice(0, 80)}`)
    let part = document.querySelector("[role=main]")  // a table scrolls by itself
    do if (part.scrollWidth > innerWidth) told.add(`${part.scrollWidth} pixels wide`)
    while (part = part.parentElement)
    return [...told]
})()"""
ERRORS = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
FOUND = "[...document.querySelectorAll('.search li a')].map(link => link.href)"


def errors(browser):
    """What the console says, and what is asked for from elsewhere."""
    for event in browser.events:
        told = event["params"]
        if event["method"] in ERRORS:
            yield str(told)
        if event["method"] == "Network.requestWillBeSent":
            url = told["request"]["url"]
            if not url.startswith(("file:", "data:")):
                yield url


@pytest.fixture
def site():
    if "SITE" not in os.environ:
        pytest.skip("SITE names no folder with the built site")
    return Path(os.environ["SITE"]).absolute()


def test_every_page_is_whole_and_readable_on_a_narrow_screen_in_light_and_dark(
    site, browser
):
    browser.size(400)
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 100
    told = []
    for page in pages:
        name = page.relative_to(site)
        browser.open(page)
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser("Emulation.setEmulatedMedia", features=[feature])
            told += [f"{name}, {scheme}: {fault}" for fault in browser.js(LOOK)]
        told += [f"{name}: {error}" for error in errors(browser)]
    assert not told, "\n".join(told)


SIGNATURE = re.compile(r'<dt class="sig .*?</dt>', re.DOTALL)
OWN = re.compile(r": (Vector|Matrix|Number|Values|Weights|Times)\b")


def test_the_reference_shows_shapes_and_units(site):
    """What a module calls them for short says nothing elsewhere."""
    plain = lambda text: html.unescape(re.sub(r"<[^>]+>", "", text))
    pages = sorted((site / "reference").glob("plasticity_jax*.html"))
    shown = {page.stem: SIGNATURE.findall(page.read_text("utf-8")) for page in pages}
    told = {name: " ".join(map(plain, found)) for name, found in shown.items()}
    assert not [f"{name}: {x[0]}" for name in told for x in OWN.finditer(told[name])]
    curvature = " ".join(told["plasticity_jax.curvature"].split())
    assert "eigenvalues: Float[Array, 'w']" in curvature
    assert "Fisher(" in curvature
    rates = plain((site / "reference/plasticity_jax.circuits.html").read_text("utf-8"))
    assert "maximum (Hz), slope (1/mV), threshold (mV above rest)" in rates


@pytest.mark.parametrize("name", ["rules.Oja", "curvature.Fisher"])
def test_the_search_finds_without_a_server(site, browser, name):
    browser.open(site / "search.html", f"?q={name.partition('.')[2]}")
    end = time.monotonic() + 30
    while "finished" not in browser.js("document.body.innerText"):
        assert time.monotonic() < end, "the search does not end"
    found = browser.js(FOUND)
    assert any(link.endswith(name) for link in found)
    assert list(errors(browser)) == []
