// Asks the run how far it is, and puts the newest report in the place of the one shown.
const status = document.getElementById("status");
const bar = document.querySelector("progress");
const numbers = document.getElementById("numbers");
const report = document.getElementById("report");
let shown = 0;
let missed = 0;

function fill(state) {
  status.textContent = state.status;
  bar.value = state.share;
  numbers.replaceChildren(...Object.entries(state.numbers).map(([name, value]) => {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    pair.append(term, text);
    return pair;
  }));
  document.title = state.title;
}

async function renew(version) {
  const answer = await fetch("report");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  // what is chosen and opened on the page stays so
  const chosen = report.querySelector("select")?.value;
  const slid = report.querySelector(".compare input")?.value;
  const opened = [...report.querySelectorAll("details")].map((one) => one.open);
  report.replaceChildren(...page.body.childNodes);
  const select = report.querySelector("select");
  if (select && chosen) select.value = chosen;
  report.querySelectorAll("details").forEach((one, at) => { one.open = opened[at] ?? one.open; });
  const slider = report.querySelector(".compare input");
  if (slider && slid) {
    slider.value = slid;
    slide(slider);
  }
  shown = version;
}

async function ask() {
  try {
    const state = await (await fetch("state")).json();
    missed = 0;
    fill(state);
    if (state.version > shown) await renew(state.version);
    if (state.finished && shown === state.version) {
      await fetch("seen");
      return;
    }
  } catch {
    missed += 1;
    if (missed > 5) {
      status.textContent = "The run no longer answers; what it showed last is below.";
      return;
    }
  }
  setTimeout(ask, 1000);
}
ask();
