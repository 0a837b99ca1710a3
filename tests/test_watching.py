"""The page of a run while it goes on: who may see it, what it says, and what it costs: nothing."""

import contextlib
import json
import shutil
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.cli import run
from attar.condensing.telling import Callback, Several
from attar.errors import BadRequest
from attar.watching import Watch

SMALL = {"ipc": 2, "iterations": 6, "network": "convnet3:width=4", "validation": 0}


@contextlib.contextmanager
def watching(**options: Any) -> Iterator[Watch]:
    watch = Watch("attar condense digits", **options)
    try:
        yield watch
    finally:
        watch.close()


def get(address: str, host: str | None = None) -> tuple[str, Any]:
    asked = urllib.request.Request(address, headers={} if host is None else {"Host": host})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return answer.read().decode(), answer.headers


def state(watch: Watch) -> dict[str, Any]:
    return json.loads(get(watch.address + "state")[0])


class Looking(Callback):
    """Looks at the page after every step, as an open window does."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.states: list[dict[str, Any]] = []

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        self.states.append(state(self.watch))

    def formed(self, step: int, artefact: Any) -> None:
        self.states.append(state(self.watch))
        if self.states[-1]["version"]:
            get(self.watch.address + "seen")


def test_the_page_goes_with_the_run_and_changes_nothing_of_it() -> None:
    alone = attar.condense("digits", method="lodm", **SMALL)
    with watching() as watch:
        looking = Looking(watch)
        assert state(watch)["status"] == "reading"
        watched = attar.condense(
            "digits", method="lodm", callback=Several(looking, watch, looking), **SMALL
        )
        end = state(watch)
        report = get(watch.address + "report")[0]
    assert torch.equal(alone.pixels, watched.pixels)
    numbers = [one["numbers"] for one in looking.states]
    assert [one["step"] for one in numbers if "step" in one][-1] == "6"
    # the set was shown before it was finished
    assert any(one["version"] and not one["finished"] for one in looking.states)
    assert end["finished"] and end["share"] == 1 and "time left" not in end["numbers"]
    assert end["numbers"]["size"] == "5120 B"
    assert "lodm on digits" in report and report.count("of 4") == 40
    # the set over its start, of which 4 images of each class are shown
    assert report.count(', step 0"') == report.count(', step 6"') == 40


def test_where_nobody_looks_no_report_is_made_before_the_end() -> None:
    with watching() as watch:
        seen: list[int] = []

        class Counting(Callback):
            def formed(self, step: int, artefact: Any) -> None:
                seen.append(watch._version)

        attar.condense("digits", method="lodm", callback=Several(watch, Counting()), **SMALL)
        assert seen == [0] * 7
        assert state(watch)["version"] == 1


@pytest.mark.parametrize(
    "path", ["", "state", "wrong-token/", "wrong-token/state", "../etc/passwd"]
)
def test_nothing_is_found_without_the_token(path: str) -> None:
    with watching() as watch:
        root = watch.address.rsplit("/", 2)[0]
        with pytest.raises(urllib.error.HTTPError) as error:
            get(f"{root}/{path}")
        with error.value:
            assert error.value.code == 404


def test_a_page_of_another_name_that_leads_here_is_not_answered() -> None:
    with watching() as watch:
        with pytest.raises(urllib.error.HTTPError) as error:
            get(watch.address, host="example.org")
        with error.value:
            assert error.value.code == 404


def test_the_page_lets_a_browser_run_its_own_script_alone_and_ask_nobody_else() -> None:
    with watching() as watch:
        text, headers = get(watch.address)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert "script-src 'sha256-" in policy and "unsafe-eval" not in policy
    assert text.count("<script") == 1 and "http://" not in text and "https://" not in text


def test_only_this_machine_is_listened_for() -> None:
    with watching() as watch:
        assert watch.address.startswith("http://127.0.0.1:")


def test_a_port_that_is_taken_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadRequest, match=f"--watch-port {port}: cannot be listened on"):
            Watch("x", port)
        words = ["condense", "digits", "--ipc", "1", "--iterations", "1"]
        output = tmp_path / "out.safetensors"
        assert run([*words, "--watch-port", str(port), "-o", str(output)]) == 2
    assert "--watch-port" in capsys.readouterr().err and not output.exists()


def test_the_log_of_an_earlier_part_is_shown(tmp_path: Path) -> None:
    earlier = [{"step": step, "loss": 10.0 - step, "seconds": float(step)} for step in (1, 2, 99)]
    with watching(log=earlier) as watch:

        class Begun(Callback):
            def planned(self, plan: Any, step: int) -> None:
                watch.planned(plan, 2)

        attar.condense("digits", method="random", ipc=1, callback=Begun())
        assert [row["step"] for row in watch._losses] == [1, 2]


def test_the_command_says_where_the_page_is(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    output = tmp_path / "out.safetensors"
    words = ["condense", "digits", "--method", "random", "--ipc", "1", "--watch", "-o", str(output)]
    assert run(words) == 0 and output.exists()
    assert "watch: http://127.0.0.1:" in capsys.readouterr().err
    assert not [one for one in threading.enumerate() if "serve_forever" in one.name]


@pytest.mark.parametrize("width", [1100, 360])
def test_in_a_browser(width: int) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="needs the group 'browser'")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium on the path")
    with watching() as watch:
        address = watch.address

        def condensing() -> None:
            attar.condense("digits", method="lodm", callback=watch, **SMALL)

        with api.sync_playwright() as play:
            chrome = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            page = chrome.new_page(viewport={"width": width, "height": 800})
            faults: list[str] = []
            page.on("console", lambda said: faults.append(said.text))
            page.on("pageerror", lambda fault: faults.append(str(fault)))
            page.goto(address)
            api.expect(page.get_by_role("status")).to_have_text("reading")
            worker = threading.Thread(target=condensing)
            worker.start()
            api.expect(page.get_by_role("status")).to_have_text("finished", timeout=120_000)
            worker.join()
            api.expect(page.get_by_role("heading", name="lodm on digits")).to_be_visible()
            assert page.get_by_role("progressbar", name="share of the run").count() == 1
            # one class is chosen, with the keyboard
            page.get_by_label("Show").focus()
            page.get_by_label("Show").select_option("3")
            shown = page.locator(".filtered").get_by_role("img", name=", image")
            assert [one.get_attribute("alt")[:1] for one in shown.all() if one.is_visible()] == [
                "3"
            ] * 4
            # and one image enlarged, with the keyboard, and put back
            image = page.get_by_alt_text("3, image 2 of 4")
            before = image.bounding_box()["width"]
            image.locator("xpath=..").focus()
            page.keyboard.press("Enter")
            page.wait_for_timeout(100)
            assert image.bounding_box()["width"] > 3 * before
            page.keyboard.press("Enter")
            page.wait_for_timeout(100)
            assert image.bounding_box()["width"] == before
            # the set over its start: a slider with a name, moved by keys
            slider = page.get_by_role("slider", name="step 0")
            slider.focus()
            page.keyboard.press("Home")
            after = page.get_by_alt_text("3, image 2, step 6")
            clipped = "e => getComputedStyle(e).clipPath"
            assert "100%" in after.evaluate(clipped)
            page.keyboard.press("ArrowRight")
            assert slider.get_attribute("aria-valuetext") == "1 % of each image is of step 6"
            page.keyboard.press("End")
            assert "100%" not in after.evaluate(clipped)
            both = [after, page.get_by_alt_text("3, image 2, step 0")]
            assert both[0].bounding_box() == both[1].bounding_box()
            overflow = page.locator("html").evaluate("e => e.scrollWidth > e.clientWidth")
            assert not overflow and not faults
            # without a script both stand beside each other, and nothing is there to be moved
            size = {"width": width, "height": 800}
            still = chrome.new_page(viewport=size, java_script_enabled=False)
            still.set_content(get(address + "report")[0])
            assert not still.get_by_role("slider").count()
            pair = [still.get_by_alt_text(f"3, image 2, step {step}") for step in (0, 6)]
            assert pair[0].bounding_box()["x"] < pair[1].bounding_box()["x"]
            chrome.close()


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(BadRequest, match=f"--watch-port {port}: from 0, .* to 65535"):
        Watch("digits", port)
