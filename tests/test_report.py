"""The page of results: whole, harmless, and usable in a real browser."""

import fcntl
import html.parser
import itertools
import json
import math
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from importlib.resources import files

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from plasticity_jax.experiment import Judged, Verdict
from plasticity_jax.experiment._ticks import plain_ticks
from plasticity_jax.report import report


EVIL = "<script>alert(1)</script>"
CLAIMS = {
    "alpha.fig2": (
        Judged("is_b", "b: twice as far", "Fig. 2a", 2.5, 2.0, 3.0, 0.1, control=0.5),
        Judged(
            "is_a", f"a: {EVIL}", f"Eq. 1 {EVIL} ' \"", -1e-20, high=0.0, control=3e5
        ),
        Judged("is_d", "d: no number", "Fig. 2c", math.nan, 0.0, 1.0, control=math.nan),
    ),
    "alpha.fig10": (
        Judged(
            "is_c", "c: the control holds too", "Fig. 10", 10.0, low=1.0, control=2.0
        ),
        Judged("is_e", "e: exactly none", "all runs", 0.0, 0.0, 0.0),
        Judged(
            "is_g", "g: nearly one", "all runs", 1.0, 1 - 1e-9, 1 + 1e-9, 1e-9, 1e-99
        ),
    ),
    "beta.fig1": (Judged("is_f", "f: any number", "Fig. 1", 100.0),),
}
CONFIG = f"""
experiment = "x"
from_preset = "small"
x64 = false
[common]
rule = "{EVIL}"
"{EVIL}" = 1
sizes = {list(range(40))}
[common.grid]
ratio = [0.1, 0.2]
"""


def png(width=90, height=60):
    """A grey picture."""

    def chunk(kind, body):
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder as `run` leaves it, with unfriendly texts."""
    folder = tmp_path_factory.mktemp("made")
    for name, claims in CLAIMS.items():
        place = folder / name
        place.mkdir(parents=True)
        verdict = Verdict(name, claims).to_json()
        (place / "verdict.json").write_text(json.dumps(verdict))
        (place / "config.toml").write_text(CONFIG)
        (place / "figure.png").write_bytes(png())
        attributes = {
            "plasticity_jax": "0.1.0",
            "jax": "0.10.1",
            "precision": "float32",
            "device": EVIL,
            "date": "2026-11-22T00:10:22+00:00",
            "wall_seconds": 90.0,
            "config": "not shown twice",
            "keys": json.dumps([[i, i] for i in range(200)]),
        }
        data = xarray.Dataset({"x": ("seed", np.zeros(2))}, attrs=attributes)
        data.to_zarr(place / "data.zarr", mode="w", consolidated=False)
    return folder


@pytest.fixture
def runs(made, tmp_path):
    return shutil.copytree(made, tmp_path / f"runs of {EVIL.replace('/', '|')}")


class Page(html.parser.HTMLParser):
    """Elements in order as (tag, attributes, the text up to its end)."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        if tag not in ("meta", "img", "input", "wbr", "path", "rect", "circle"):
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        if tag not in ("path", "rect", "circle"):
            assert self.open.pop()[0] == tag  # every element ends where it should

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, *tags):
        return [element for element in self.elements if element[0] in tags]


def test_every_claim_of_every_experiment_is_on_the_page(runs):
    page = Page(report(runs).read_text())
    assert not page.open
    rows = [element[2] for element in page.all("tr")]
    for claim in itertools.chain(*CLAIMS.values()):
        front = [row for row in rows if claim.says in row and claim.source not in row]
        own = [row for row in rows if claim.says in row and claim.source in row]
        assert len(front) == len(own) == 1
    assert page.all("h1")[0][2] == "5 of 7 claims hold"
    wanted = {
        "b: twice": ("2.5 ± 0.1", "2 to 3", "0.5", "✓ holds"),
        "a: <script>": ("−1\xa0×\xa010−20", "at most 0", "3\xa0×\xa0105", "✓ holds"),
        "c: the": ("10", "at least 1", "2", "✗ control holds too"),
        "d: no": ("no number", "0 to 1", "no number", "✗ fails"),
        "e: exactly": ("0", "exactly 0", "none", "✓ holds"),
        "f: any": ("100", "any number", "none", "✓ holds"),
        "g: nearly": ("1 ± 1\xa0×\xa010−9", "within 1\xa0×\xa010−9 of 1", "✓ holds"),
    }
    for start, cells in wanted.items():
        for row in (row for row in rows if start in row):
            place = 0
            for cell in cells:
                place = row.index(cell, place)
    text = page.all("main")[0][2]
    assert "… and 20 more]" in text  # a long list is cut
    assert "grid.ratio[0.1, 0.2]" in text
    assert "Presetssmall" in page.all("body")[0][2]
    assert "wall time2 min" in text
    assert "not shown twice" not in text
    order = [element[2] for element in page.all("h3")]
    assert order == ["fig2", "fig10", "fig1"]


def test_what_is_shown_comes_from_the_experiments(runs):
    shows, source = f"that <b>it</b> works & {EVIL}", 'Fig. "2"'
    place = runs / "alpha.fig2" / "data.zarr" / "zarr.json"
    content = json.loads(place.read_text())
    content["attributes"] |= {"shows": shows, "source": source}
    place.write_text(json.dumps(content))
    page = Page(report(runs).read_text())
    alts = [attributes["alt"] for _, attributes, _ in page.all("img")]
    assert alts[0] == f"Figure of alpha.fig2: {shows}"
    assert "c: the control holds too; e: exactly none" in alts[1]
    assert page.all("figcaption")[0][2] == f"Source: {source}"
    leads = [text for tag, a, text in page.elements if a.get("class") == "lead"]
    assert leads == [f"T{shows[1:]}"]
    assert not page.all("b")


def test_text_of_results_stays_text(runs):
    text = report(runs).read_text()
    page = Page(text)
    assert len(page.all("script")) == 1
    assert "alert" not in page.all("script")[0][2]
    assert text.count("&lt;script&gt;alert(1)") >= 7
    assert EVIL not in text
    allowed = {"data-label", "data-sort", "data-holds"}
    for tag, attributes, _ in page.elements:
        assert tag not in ("link", "iframe", "object", "base", "form", "b")
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name != "style"
            assert not name.startswith("data-") or name in allowed
            if name == "src":
                assert value.startswith("data:image/png;base64,")
            if name == "href":
                assert value.startswith("#")
    assert not re.search(r"https?:|url\(|@import|//\w", text.replace("// ", ""))
    policy = page.all("meta")[1][1]["content"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def test_the_page_is_made_for_everyone(runs):
    page = Page(report(runs).read_text())
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes, _ in page.elements:
        if tag == "a":
            assert attributes["href"][1:] in ids
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
    levels = [int(tag[1]) for tag, *_ in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert len(page.all("table")) == len(page.all("caption")) == 1 + 3 * len(CLAIMS)
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.all(landmark)) == 1
    assert page.all("html")[0][1]["lang"] == "en"


def test_the_same_results_give_the_same_bytes(runs):
    first = report(runs).read_bytes()
    assert report(runs).read_bytes() == first
    assert sorted(p.name for p in runs.iterdir()) == sorted([*CLAIMS, "report.html"])


def test_what_is_missing_is_said(runs):
    (runs / "beta.fig1" / "figure.png").unlink()
    (runs / "beta.fig1" / "figure.txt").write_text("KeyError: <stage>")
    (runs / "alpha.fig2" / "figure.png").write_bytes(png()[:-20])
    (runs / "alpha.fig2" / "config.toml").unlink()
    shutil.rmtree(runs / "alpha.fig2" / "data.zarr")
    (runs / "alpha.fig10").rename(runs / f"fig10 {EVIL[:8]}")
    shutil.copytree(runs / "beta.fig1", runs / "beta.fig2")
    (runs / "beta.fig2" / "verdict.json").unlink()
    text = report(runs).read_text()
    assert "<img" not in text
    assert "No figure: KeyError: &lt;stage&gt;" in text
    assert "No figure: its file is damaged." in text
    assert "Parameters: the file is not there." in text
    assert "Environment: the file is not there." in text
    assert "<code>beta.fig2</code>, <code>fig10 &lt;script&gt;</code>" in text


def replaced(**changes):
    rows = Verdict("x", CLAIMS["alpha.fig2"]).to_json()
    return json.dumps([{**rows[0], **changes}])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("verdict.json", "[{"),
        ("verdict.json", "{}"),
        ("verdict.json", "[1]"),
        ("verdict.json", "[{}]"),
        ("verdict.json", "[" * 100_000),
        ("verdict.json", b"\xff\xfe"),
        ("verdict.json", replaced(value="2.5")),
        ("verdict.json", replaced(value=True)),
        ("verdict.json", replaced(value=10**400)),
        ("verdict.json", replaced(value=9.0)),
        ("verdict.json", replaced(says=["x"])),
        ("verdict.json", replaced(control=1.0)),
        ("config.toml", "x ="),
        ("config.toml", b"\xff"),
        ("data.zarr/zarr.json", "{"),
        ("data.zarr/zarr.json", '{"attributes": []}'),
    ],
)
def test_a_damaged_file_is_named_and_the_old_page_stays(runs, file, content):
    page = report(runs)
    before = page.read_bytes()
    path = runs / "alpha.fig2" / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=re.escape(f"{path} is damaged")):
        report(runs)
    assert page.read_bytes() == before
    assert not list(runs.glob(".report*"))


def test_deep_and_odd_values_are_printed_not_followed(runs):
    place = runs / "beta.fig1"
    (place / "config.toml").write_text(f"{'a.' * 3000}b = 1\nc = {'[' * 90}{']' * 90}")
    deep = f'{{"attributes": {{"jax": {"[" * 400}{"]" * 400}, "new": {{"x": 1}}}}}}'
    (place / "data.zarr" / "zarr.json").write_text(deep)
    rows = json.loads((place / "verdict.json").read_text())
    rows[0]["says"] = "lone \ud800 half"
    (place / "verdict.json").write_text(json.dumps(rows))
    text = report(runs).read_text()
    assert "lone ? half" in text
    assert "<td>…</td>" in text
    assert "new.x</th><td>1</td>" in text


def test_a_folder_without_results_is_refused(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no results in"):
        report(tmp_path / "empty")
    with pytest.raises(ValueError, match="no such folder"):
        report(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is one result"):
        report(runs / "beta.fig1")


def test_colours_can_be_told_apart():
    """Text has a contrast of 4.5 or more on both grounds, light, dark and printed."""
    style = files("plasticity_jax.report").joinpath("report.css").read_text()

    def light(colour):
        digits = colour if len(colour) == 6 else "".join(x + x for x in colour)
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        line = [x / 12.92 if x < 0.04 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * line[0] + 0.7152 * line[1] + 0.0722 * line[2]

    for mode in re.split(r"@media (?=\(prefers|print)", style):
        colours = dict(re.findall(r"--(\w+): #(\w+);", mode))
        for text in ("ink", "soft", "link", "good", "bad"):
            for ground in ("paper", "card"):
                pair = sorted(light(colours[name]) for name in (text, ground))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (text, ground)


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ONTO_3_AND_4 = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """A headless Chromium, spoken to through two pipes: no library and no port."""

    def __init__(self, binary, home):
        ends = [*os.pipe(), *os.pipe()]
        self.wire = ends[1], ends[2]
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (ends[0], ends[3])]
        options = ["--headless", "--remote-debugging-pipe", "--no-first-run"]
        options += ["--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        options += [f"--user-data-dir={home}", "--disable-background-networking"]
        options.append("--no-sandbox")  # containers lack one; the page is our own
        command = [binary, *options, "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", ONTO_3_AND_4, *map(str, theirs), *command],
            pass_fds=theirs,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (ends[0], ends[3], *theirs):
            os.close(end)
        self.count, self.rest, self.events, self.session = 0, b"", [], None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        attached = self("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for part in ("Page", "Runtime", "Log", "Network"):
            self(f"{part}.enable")

    def __call__(self, method, **parameters):
        """The answer to one command; events on the way are kept."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.wire[0], json.dumps(message).encode() + b"\0")
        while (got := self.next()).get("id") != self.count:
            self.events.append(got)
        assert "error" not in got, got
        return got["result"]

    def next(self):
        while b"\0" not in self.rest:
            assert select.select([self.wire[1]], [], [], 30)[0], "no word for 30 s"
            part = os.read(self.wire[1], 1 << 20)
            assert part, "the browser ended"
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, path, query=""):
        self.events.clear()
        self("Page.navigate", url=path.as_uri() + query)
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            self.events.append(self.next())

    def js(self, expression):
        options = {"returnByValue": True, "awaitPromise": True}
        got = self("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def press(self, key):
        code, text = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " ")}[key]
        key = {"key": key, "windowsVirtualKeyCode": code}
        self("Input.dispatchKeyEvent", type="keyDown", text=text, **key)
        self("Input.dispatchKeyEvent", type="keyUp", **key)

    def size(self, width):
        options = {"height": 800, "deviceScaleFactor": 1, "mobile": False}
        self("Emulation.setDeviceMetricsOverride", width=width, **options)

    def close(self):
        for end in self.wire:
            os.close(end)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # its own session, as started
            self.process.wait()


@pytest.fixture
def browser(tmp_path):
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser on PATH: none of {', '.join(BROWSERS)}")
    browser = Browser(found, tmp_path / "profile")
    yield browser
    browser.close()


FRONT = "[...document.querySelectorAll('.sortable tbody tr')]"
FIRST_LETTERS = f"{FRONT}.filter(r => !r.hidden).map(r => r.cells[2].textContent[0])"
FOCUS = "document.activeElement.textContent.trim() || document.activeElement.id"
SORTED = """Object.fromEntries([...document.querySelectorAll('.sortable thead th')]
    .map(h => [h.textContent, h.getAttribute('aria-sort')])
    .filter(([_, way]) => way !== 'none'))"""


def test_a_browser_shows_and_sorts_it_by_keyboard(runs, browser):
    page = report(runs)
    browser.open(page)
    assert browser.js("[...document.images].every(i => i.naturalWidth === 90)")
    assert browser.js("document.images.length") == 3
    browser.js("Promise.all([...document.images].map(i => i.decode()))")

    def tab_to(name):
        for _ in range(12):
            browser.press("Tab")
            if browser.js(FOCUS) == name:
                return
        raise AssertionError(f"{name} is not in reach; at {browser.js(FOCUS)}")

    tab_to("Skip to the claims")
    browser.press("Enter")
    tab_to("failing")
    browser.press(" ")
    assert browser.js(f"{FIRST_LETTERS}.join('')") == "dc"
    browser.press(" ")
    assert browser.js(f"{FIRST_LETTERS}.join('')") == "badcegf"
    said = "document.getElementById('said').textContent"
    orders = {
        "Claim": ("abcdefg", "gfedcba"),
        "Measured": ("aegbcfd", "fcbgead"),  # what is no number comes last
        "Control": ("gbcafed", "acbgfed"),
        "Verdict": ("dcabgfe", "abgfecd"),
    }
    for name, (up, down) in orders.items():
        tab_to(name)
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert browser.js(outline) == "solid"
        browser.press("Enter")
        assert browser.js(f"{FIRST_LETTERS}.join('')") == up
        assert browser.js(SORTED) == {name: "ascending"}
        assert browser.js(said) == f"Sorted by {name}, ascending."
        browser.press(" ")
        assert browser.js(f"{FIRST_LETTERS}.join('')") == down
        assert browser.js(SORTED) == {name: "descending"}
    bad = (
        "exceptionThrown",
        "entryAdded",
        "consoleAPICalled",
        "javascriptDialogOpening",
    )
    told = [e for e in browser.events if e["method"].partition(".")[2] in bad]
    assert told == []
    asked = [
        event["params"]["request"]["url"].partition(":")[0]
        for event in browser.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked.count("file") == 1  # the page itself
    assert set(asked) <= {"file", "data"}
    evil = "<b onclick='window.hit = 1'>x</b><style>body { margin: 99px }</style>"
    browser.js(f"document.body.insertAdjacentHTML('beforeend', `{evil}`)")
    browser.js("document.querySelector('b').click()")
    assert browser.js("window.hit") is None  # the policy stops what escaping missed
    assert browser.js("getComputedStyle(document.body).marginTop") == "0px"


PARTS = "[...document.body.querySelectorAll('*:not(.unseen, .skip, .sheet *)')]"


def test_a_browser_fits_it_into_400_pixels(runs, browser):
    page = report(runs)
    browser.size(400)
    browser.open(page)
    browser.js("document.querySelectorAll('details').forEach(d => d.open = true)")
    for width in (400, 700, 1030, 1200):
        browser.size(width)
        assert browser.js("document.documentElement.scrollWidth") == width
        ends = f"{PARTS}.map(e => e.getBoundingClientRect().right)"
        assert browser.js(f"Math.max(...{ends})") <= width
        sizes = f"{PARTS}.map(e => parseFloat(getComputedStyle(e).fontSize))"
        assert browser.js(f"Math.min(...{sizes})") >= 11
    for scheme, paper in (("light", "rgb(250, 249, 246)"), ("dark", "rgb(22, 24, 27)")):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser("Emulation.setEmulatedMedia", features=[feature])
        ground = "getComputedStyle(document.querySelector('{}')).backgroundColor"
        assert browser.js(ground.format("body")) == paper
        assert browser.js(ground.format("figure img")) == "rgb(255, 255, 255)"
        assert browser.js(ground.format(".sheet")) == "rgb(255, 255, 255)"


def test_powers_of_ten_are_written_as_plain_text():
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1.0, 1.5], [2e-3, -2e3])
    axes.set(xscale="log", yscale="symlog")
    plain_ticks(figure)
    figure.canvas.draw()
    ticks = [*axes.get_xticklabels(), *axes.get_xticklabels(minor=True)]
    labels = {tick.get_text() for tick in [*ticks, *axes.get_yticklabels()]}
    assert labels >= {"10⁻¹", "10⁰", "1.2×10⁰", "−10³", "0"}
    assert not any("$" in label for label in labels)
