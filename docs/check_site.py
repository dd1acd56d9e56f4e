"""Visit every page of the built site in headless Chromium, as wide as a telephone and as a desk, in light and in dark.

    python docs/check_site.py build/site [--static] [--screenshots FOLDER]

Faults are messages on the console, requests that fail or leave this machine, links and images that lead nowhere, pages
wider than the window, and text that is cut, small or pale. Links are checked from the files, without a browser; `--static`
does that alone.
"""

import argparse
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

WIDTHS = (360, 1400)
LEAST_SIZE = 11  # pixels of text
LEAST_CONTRAST = 4.5  # of text on what is behind it, as WCAG 2 counts; 3 for large text
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# What a page looks like at its present width: [fault, ...]
LOOK = """
async ([leastSize, leastContrast]) => {
  const faults = new Set();
  for (const image of document.images) {
    image.loading = "eager";
    try { await image.decode(); } catch { /* told below */ }
    if (!image.naturalWidth) faults.add(`image does not load: ${image.src}`);
  }
  // these may not scroll sideways; blocks of code and tables in them may
  const whole = [document.documentElement, ...document.querySelectorAll(".bd-article-container")];
  const scrolls = (node) => node && node !== document.body && !whole.includes(node) &&
    (getComputedStyle(node).overflowX !== "visible" || scrolls(node.parentElement));
  if (whole.some((node) => node.scrollWidth > node.clientWidth)) {
    const wide = [...document.body.querySelectorAll("*")].filter((node) =>
      node.getBoundingClientRect().right > innerWidth + 1 && !scrolls(node.parentElement));
    faults.add(`wider than the window: ${wide.slice(0, 3).map((node) => node.outerHTML.slice(0, 90)).join(" | ")}`);
  }
  for (const node of document.querySelectorAll("h1, h2, h3, p, li, dt, figcaption, .prev-next-title"))
    if (node.scrollWidth > node.clientWidth + 1 && node.clientWidth && getComputedStyle(node).display !== "inline"
        && !scrolls(node) && node.checkVisibility())
      faults.add(`text is cut: ${node.innerText.slice(0, 60)}`);
  const painter = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colours = new Map();
  const rgba = (colour) => {
    if (!colours.has(colour)) {
      painter.clearRect(0, 0, 1, 1);
      painter.fillStyle = colour;
      painter.fillRect(0, 0, 1, 1);
      colours.set(colour, [...painter.getImageData(0, 0, 1, 1).data]);
    }
    return colours.get(colour);
  };
  const light = ([r, g, b]) => [r, g, b]
    .map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const backgrounds = new Map();
  const behind = (node) => {
    if (!node) return [255, 255, 255, 255];
    if (!backgrounds.has(node)) {
      const own = rgba(getComputedStyle(node).backgroundColor), part = own[3] / 255;
      const below = part === 1 ? own : behind(node.parentElement);
      backgrounds.set(node, own.map((v, i) => part * v + (1 - part) * below[i]));
    }
    return backgrounds.get(node);
  };
  const opacity = (node) => node ? getComputedStyle(node).opacity * opacity(node.parentElement) : 1;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode());) {
    const node = text.parentElement, words = text.data.trim();
    if (!words || node.closest("script, style, noscript, canvas, svg, .visually-hidden, .sr-only, [aria-hidden=true]")) continue;
    if (!node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(node), size = parseFloat(style.fontSize);
    if (size && size < leastSize) faults.add(`text of ${size} pixels: ${words.slice(0, 40)}`);
    const ground = behind(node), ink = rgba(style.color), part = (ink[3] / 255) * opacity(node);
    const seen = ink.map((v, i) => part * v + (1 - part) * ground[i]);
    const lights = [light(seen), light(ground)].sort((a, b) => b - a);
    const contrast = (lights[0] + 0.05) / (lights[1] + 0.05), large = size >= 24 || (size >= 18.6 && style.fontWeight >= 700);
    if (contrast < (large ? 3 : leastContrast) && !node.closest("[disabled], .headerlink"))
      faults.add(`${document.documentElement.dataset.theme}: contrast ${contrast.toFixed(1)} of ${words.slice(0, 40)}`);
  }
  return [...faults];
}
"""


class Page(HTMLParser):
    """What a page links to, what it loads, and the names that links to it may end in."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.names: set[str] = {"", "top"}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("img", "script", "iframe", "source", "video") and "src" in given:
            self.loads.append(given["src"])
        if tag == "link" and "href" in given and given.get("rel") not in ("canonical", "author"):
            self.loads.append(given["href"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Check every page of the built site.")
    parser.add_argument("site", type=Path)
    parser.add_argument("--static", action="store_true", help="check links alone, without a browser")
    parser.add_argument("--screenshots", type=Path, help="a folder for a picture of each page, width and colour scheme")
    parser.add_argument("--only", default="", help="a regular expression: visit pages whose names it is found in")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    arguments = parser.parse_args()
    names = sorted(str(path.relative_to(arguments.site)) for path in arguments.site.rglob("*.html"))
    names = [name for name in names if not name.startswith(("_static", ".doctrees"))]
    faults = [*check_links(arguments.site, names)]
    if not arguments.static:
        faults += check_pages(arguments.site, [name for name in names if re.search(arguments.only, name)], arguments)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(names)} pages, {len(faults)} faults{' (links only)' if arguments.static else ''}")
    return min(len(faults), 1)


def check_links(site: Path, names: list[str]) -> Iterator[str]:
    """Yield what links and images lead nowhere, and what is loaded from other hosts."""
    pages = {(site / name).resolve(): Page(site / name) for name in names}
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        for link in sorted({*page.links, *page.loads}):
            target = urlsplit(link)
            if target.scheme == "data":
                continue
            if target.scheme or target.netloc:
                if link in page.loads:
                    yield f"{where}: loads {link}"
                continue
            file = (path.parent / unquote(target.path)).resolve() if target.path else path
            if not file.is_file():
                yield f"{where}: leads nowhere: {link}"
            elif file in pages and unquote(target.fragment) not in pages[file].names:
                yield f"{where}: no such place: {link}"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def check_pages(site: Path, names: list[str], arguments: argparse.Namespace) -> list[str]:
    """Return what is wrong with pages in a browser."""
    from playwright.sync_api import sync_playwright

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=FLAGS)
        page = browser.new_page(reduced_motion="reduce")
        note = _listen(page, home, faults)
        for name in names:
            note(name)
            page.goto(home + name)
            for width, theme in zip((*WIDTHS, *WIDTHS), ("light", "light", "dark", "dark"), strict=True):
                page.set_viewport_size({"width": width, "height": 900})
                page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
                seen = page.evaluate(LOOK, [LEAST_SIZE, LEAST_CONTRAST])
                faults += [f"{name} at {width}: {fault}" for fault in seen]
                if arguments.screenshots:
                    arguments.screenshots.mkdir(parents=True, exist_ok=True)
                    picture = f"{name.removesuffix('.html').replace('/', '-')}-{width}-{theme}.png"
                    page.screenshot(path=arguments.screenshots / picture, full_page=True)
        if "slider.html" in names:
            page.goto(home + "slider.html")
            faults += _use_slider(page)
        browser.close()
    server.shutdown()
    return [*dict.fromkeys(faults)]


def _listen(page: Any, home: str, faults: list[str]) -> Callable[[str], None]:
    """Have a page add its errors to the faults; return what tells which page it is."""
    current = [""]

    def request(route: Any) -> None:
        if route.request.url.startswith((home, "data:", "blob:")):
            route.continue_()
        else:
            faults.append(f"{current[0]}: asks for {route.request.url}")
            route.abort()

    def response(answer: Any) -> None:
        if answer.status >= 400:
            faults.append(f"{current[0]}: {answer.status} for {answer.url}")

    def console(message: Any) -> None:
        if message.type in ("error", "warning"):
            faults.append(f"{current[0]}: console: {message.text}")

    page.route("**/*", request)
    page.on("response", response)
    page.on("console", console)
    page.on("pageerror", lambda error: faults.append(f"{current[0]}: error: {error}"))
    return lambda name: current.__setitem__(0, name)


def _use_slider(page: Any) -> Iterator[str]:
    """Move the kernel, change weights, and compare the map with the library's."""
    import numpy as np

    import fastconv as fc

    page.select_option("#slider-image", "ring")
    page.select_option("#slider-kernel", "sobelx")
    page.check("#slider-padding")
    page.fill("#slider-weights input:first-child", "2.5")
    image, kernel, shown = (
        np.array(json.loads(page.get_attribute("#slider", f"data-{part}"))) for part in ("image", "kernel", "map")
    )
    expected = fc.conv2d(image.astype(float), kernel.reshape(3, 3).astype(float), padding=1)
    if kernel[0] != 2.5 or not np.allclose(shown, expected):
        yield "slider.html: the map is not that of conv2d"
    before = page.inner_text("#slider-sum")
    page.focus("#slider-input")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    after = page.inner_text("#slider-sum")
    if not (before.startswith("Row 2, column 3") and after.startswith("Row 3, column 4")):
        yield f"slider.html: arrow keys move the kernel from {before!r} to {after!r}"


if __name__ == "__main__":
    sys.exit(main())
