"""Results as HTML. Every text of a result passes `escape`; a policy backs that up."""

import base64
import hashlib
import math
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from itertools import groupby
from string import Template
from typing import Any

from ..experiment._claims import Judged, stands
from ..experiment._results import Result


SHARPNESS = 96 / 160  # figures are drawn at 160 pixels an inch, pages at 96
NARROW = 480  # wider figures keep their size on a small screen, and scroll
LONGEST_LIST, LONGEST_TEXT, DEEPEST = 20, 400, 6
EVIDENCE = ("Measured", "Interval", "Control", "Verdict")
COLUMNS = ("System", "Experiment", "Claim", *EVIDENCE)


def page(results: list[Result], left_out: list[str]) -> str:
    """The whole page; `left_out` are names of folders that are not on it.

    >>> text = page([], ["unfinished.fig1"])
    >>> "0 of 0 claims hold" in text, "unfinished.fig1" in text
    (True, True)
    """
    own = files("plasticity_jax.report")
    kinds = ("html", "css", "js")
    part = {kind: own.joinpath(f"report.{kind}").read_text("utf-8") for kind in kinds}
    count = sum(len(result.claims) for result in results)
    failing = sum(result.failing for result in results)
    return Template(part["html"]).substitute(
        title=f"{count - failing} of {count} claims hold",
        policy=f"style-src {_hash(part['css'])}; script-src {_hash(part['js'])}; "
        "img-src data:",
        style=part["css"],
        script=part["js"],
        facts=_facts(results),
        contents=_contents(results),
        left_out=_left_out(left_out),
        filter=_filter(failing),
        heads="".join(
            "<th scope='col' aria-sort='none'>"
            f"<button type='button'>{name}</button></th>"
            for name in COLUMNS
        ),
        rows="".join(
            _row(result, claim) for result in results for claim in result.claims
        ),
        sections="".join(
            f"<section aria-labelledby='system-{system}'>"
            f"<h2 id='system-{system}'>{_name(system)}</h2>"
            f"{''.join(map(_section, members))}</section>"
            for system, members in groupby(results, lambda result: result.system)
        ),
    )


def _hash(text: str) -> str:
    """A source of the page's policy: this text and no other may style or act."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _facts(results: list[Result]) -> str:
    systems = len({result.system for result in results})
    plural = "system" if systems == 1 else "systems"
    claims = [claim for result in results for claim in result.claims]
    controls = [claim.control_fails for claim in claims if claim.control is not None]
    known = [(x.parameters or {}) | (x.environment or {}) for x in results]

    def each(name: str, label: str = "", length: int = 40) -> list[str]:
        texts = {_plain(table[name])[:length] for table in known if name in table}
        return [label + text for text in sorted(texts)]

    days = each("date", length=10)
    times = [table.get("wall_seconds") for table in known]
    seconds = sum(x for x in times if isinstance(x, float) and math.isfinite(x))
    facts = {
        "Experiments": f"{len(results)}, in {systems} {plural}",
        "Negative controls": f"{sum(controls)} of {len(controls)} fail as they must",
        "Date": " to ".join(dict.fromkeys([*days[:1], *days[-1:]])),
        "Versions": each("plasticity_jax", "plasticity_jax ") + each("jax", "jax "),
        "Presets": each("from_preset"),
        "Device and precision": each("device") + each("precision"),
        "Time to compute": _duration(seconds) if seconds else "",
    }
    texts = {k: x if isinstance(x, str) else ", ".join(x) for k, x in facts.items()}
    return "".join(
        f"<div><dt>{name}</dt><dd>{escape(text)}</dd></div>"
        for name, text in texts.items()
        if text
    )


def _contents(results: list[Result]) -> str:
    parts = []
    for system, members in groupby(results, lambda result: result.system):
        items = "".join(
            f"<li><a href='#{r.name}'>{_name(r.short)}</a> {_tally(r)}</li>"
            for r in members
        )
        link = f"<a href='#system-{system}'>{_name(system)}</a>"
        parts.append(f"<p>{link}</p><ul>{items}</ul>")
    return "".join(parts)


def _tally(result: Result) -> str:
    count = len(result.claims)
    if result.failing:
        return f"<span class='bad'>✗ {result.failing} of {count} fail</span>"
    return f"<span class='good'>✓ {count} hold</span>"


def _left_out(names: list[str]) -> str:
    if not names:
        return ""
    told = ", ".join(f"<code>{escape(name)}</code>" for name in names)
    return (
        f"<p class='note'>Not on this page: {told} (without a verdict, or not named "
        "<code>system.experiment</code>).</p>"
    )


def _filter(failing: int) -> str:
    if not failing:
        return ""
    return (
        "<p class='filter'><label><input type='checkbox' id='failing'> "
        f"Only what does not hold ({failing})</label></p>"
    )


def _row(result: Result, claim: Judged) -> str:
    return (
        f"<tr data-holds='{'yes' if stands(claim) else 'no'}'>"
        f"<td class='text' data-label='System'>{_name(result.system)}</td>"
        "<td class='text' data-label='Experiment'>"
        f"<a href='#{result.name}'>{_name(result.short)}</a></td>"
        f"<th scope='row'>{escape(claim.says)}</th>{_cells(claim)}</tr>"
    )


def _cells(claim: Judged, strip: str = "") -> str:
    """Measured value, interval, control and verdict."""
    error = claim.standard_error
    spread = f" ± {_digits(error, 2)}" if math.isfinite(error) else ""
    control = "none" if claim.control is None else _digits(claim.control)
    rank, mark = _verdict(claim)
    cells = (
        (_sortable(claim.value), f"<span>{_digits(claim.value)}{spread}</span>"),
        (_sortable(claim.low), f"<span>{_interval(claim)}{strip}</span>"),
        (_sortable(claim.control), f"<span>{control}</span>"),
        (rank, mark),
    )
    return "".join(
        f"<td data-label='{name}' data-sort='{place}'>{text}</td>"
        for name, (place, text) in zip(EVIDENCE, cells, strict=True)
    )


def _verdict(claim: Judged) -> tuple[int, str]:
    """Its place in the order of verdicts, worst first, and its words."""
    if not claim.holds:
        return 0, "<span class='bad'>✗ fails</span>"
    if claim.control_fails:
        return 2, "<span class='good'>✓ holds</span>"
    number = claim.control is not None and math.isfinite(claim.control)
    why = "control holds too" if number else "control is no number"
    return 1, f"<span class='bad'>✗ {why}</span>"


def _sortable(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return repr(value).replace("inf", "Infinity")


def _digits(value: float, digits: int = 4) -> str:
    """A number as it is printed: a true minus, powers of ten raised."""
    if not math.isfinite(value):
        return {math.inf: "infinite", -math.inf: "−infinite"}.get(value, "no number")
    text, _, power = f"{value:.{digits}g}".replace("-", "−").partition("e")
    raised = power.replace("+", "").replace("−0", "−").lstrip("0")
    return f"{text}\xa0×\xa010<sup>{raised}</sup>" if power else text


def _interval(claim: Judged) -> str:
    if claim.low == claim.high:
        return f"exactly {_digits(claim.low, 5)}"
    low, high = _digits(claim.low, 5), _digits(claim.high, 5)
    if math.isinf(claim.high):
        return "any number" if math.isinf(claim.low) else f"at least {low}"
    if math.isinf(claim.low):
        return f"at most {high}"
    if low != high:
        return f"{low} to {high}"
    middle, half = (claim.high + claim.low) / 2, (claim.high - claim.low) / 2
    return f"within {_digits(half, 2)} of {_digits(middle, 5)}"


def _strip(claim: Judged) -> str:
    """The interval as a band, the value and its control as marks; numbers stand by."""
    ends = [x for x in (claim.low, claim.high) if math.isfinite(x)]
    if not ends or not math.isfinite(claim.value):
        return ""
    far = 1.5 * abs(claim.value - ends[0])
    width = ends[-1] - ends[0] or far or abs(ends[0]) or 1.0
    left, span = ends[0] - width, ends[-1] - ends[0] + 2 * width
    if not 0 < span < math.inf:
        return ""

    def place(x: float) -> float:
        return round(min(max(4 + 136 * ((x - left) / span), 4.0), 140.0), 1)

    low = place(claim.low) if math.isfinite(claim.low) else 0
    high = place(claim.high) if math.isfinite(claim.high) else 144
    wide = max(high - low, 2)
    marks = f"<rect class='band' x='{low}' width='{wide:g}' height='14'/>"
    if math.isfinite(claim.standard_error):
        a, b = (place(claim.value + s * claim.standard_error) for s in (-1, 1))
        marks += f"<path class='mark' d='M{a} 7H{b}'/>"
    if claim.control is not None and math.isfinite(claim.control):
        marks += f"<circle class='control' cx='{place(claim.control)}' cy='7' r='3'/>"
    marks += f"<circle class='mark' cx='{place(claim.value)}' cy='7' r='2.5'/>"
    return (
        "<svg class='strip' viewBox='0 0 144 14' aria-hidden='true'>"
        f"<path class='axis' d='M0 7H144'/>{marks}</svg>"
    )


def _section(result: Result) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(claim.says)} "
        f"<span class='source'>{_told(claim)}</span></th>"
        f"{_cells(claim, _strip(claim))}</tr>"
        for claim in result.claims
    )
    heads = "".join(
        f"<th scope='col'>{name}</th>" for name in ("Claim and source", *EVIDENCE)
    )
    shows = result.told("shows")
    sentence = escape(shows[:1].upper() + shows[1:])
    lead = f"<p class='lead'>{sentence}</p>" if shows else ""
    name = _name(result.short)
    return (
        f"<section class='run' aria-labelledby='{result.name}'>"
        "<a class='up' href='#all-claims'>All claims</a>"
        f"<h3 id='{result.name}'>{name}</h3>{lead}{_figure(result)}"
        f"<table class='cards'><caption>Claims of {name}. Band: interval. Dot: "
        "measured. Ring: negative control. A mark at an end may lie beyond it."
        f"</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        f"{_pairs('Parameters', name, result.parameters)}"
        f"{_pairs('Environment', name, _environment(result.environment))}</section>"
    )


def _told(claim: Judged) -> str:
    """Where a claim comes from, and its name, as `verdict.json` has it."""
    name = f" · <code>{_name(claim.name)}</code>" if claim.name else ""
    return escape(claim.source) + name


def _figure(result: Result) -> str:
    picture = result.figure
    if isinstance(picture, str):
        return f"<p class='note'>{escape(picture)}</p>"
    claims = "; ".join(claim.says for claim in result.claims[:3])
    shows = result.told("shows") or f"the data of these claims, among them: {claims}"
    source = result.told("source")
    caption = f"<figcaption>Source: {escape(source)}</figcaption>" if source else ""
    width, height = (
        round(SHARPNESS * int.from_bytes(picture[i : i + 4])) for i in (16, 20)
    )
    wide = " class='wide'" if width > NARROW else ""
    return (
        f"<figure><div class='sheet'><img{wide} width='{width}' height='{height}' "
        f"alt='{escape(f'Figure of {result.name}: {shows}')}' "
        f"src='data:image/png;base64,{base64.b64encode(picture).decode()}'>"
        f"</div>{caption}</figure>"
    )


def _pairs(title: str, name: str, table: dict[str, Any] | None) -> str:
    """A table of names and values, folded away."""
    if table is None:
        return f"<p class='note'>{title}: the file is not there.</p>"
    rows = "".join(
        f"<tr><th scope='row'>{_name(key)}</th><td>{escape(value)}</td></tr>"
        for key, value in _flat(table)
    )
    return (
        f"<details><summary>{title}</summary><table class='pairs'>"
        f"<caption class='unseen'>{title} of {name}</caption><thead><tr>"
        "<th scope='col'>Name</th><th scope='col'>Value</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )


def _environment(attributes: dict[str, Any] | None) -> dict[str, Any] | None:
    """The attributes but those that stand elsewhere on the page."""
    if attributes is None:
        return None
    elsewhere = ("config", "shows", "source")
    return {key: attributes[key] for key in sorted(attributes) if key not in elsewhere}


def _flat(table: dict[str, Any], *above: str) -> Iterator[tuple[str, str]]:
    """Dotted names and printed values of nested tables, without `common.`."""
    for key, value in table.items():
        path = (*above, key)
        if isinstance(value, dict) and len(path) < DEEPEST:
            yield from _flat(value, *(() if path == ("common",) else path))
        elif key.endswith("_seconds") and isinstance(value, float):
            yield ".".join(path).removesuffix("_seconds") + " time", _duration(value)
        else:
            yield ".".join(path), _plain(value)


def _plain(value: Any, depth: int = 0) -> str:
    if isinstance(value, dict) or depth > DEEPEST:
        return "…"
    if isinstance(value, list):
        shown = ", ".join(_plain(x, depth + 1) for x in value[:LONGEST_LIST])
        more = len(value) - LONGEST_LIST
        return f"[{shown}, … and {more} more]" if more > 0 else f"[{shown}]"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    more = len(text) - LONGEST_TEXT
    return f"{text[:LONGEST_TEXT]} … and {more} characters more" if more > 0 else text


def _duration(seconds: float) -> str:
    if not 60 <= seconds < math.inf:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes > 59 else f"{minutes} min"


def _name(text: str) -> str:
    """An identifier that may break after its underscores."""
    return escape(text).replace("_", "_<wbr>")
