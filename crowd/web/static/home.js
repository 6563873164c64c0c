// The start page: asks the API with the visitor's session and shows what it answers.

const API = "/api/v1";
const STAGES = ["segmentation", "attributes", "styles", "first_review", "second_review", "adjudication"];
const REFRESH_MS = 3000;
const byId = (id) => document.getElementById(id);
const words = (name) => name.replaceAll("_", " ");

function cookie(name) {
  const found = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

async function ask(method, path, body) {
  const headers = { "X-CSRF-Token": cookie("csrf_token") };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(API + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  return { ok: response.ok, status: response.status, body: text ? JSON.parse(text) : null };
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function bar(stage) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "bar");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${stage.done} done, ${stage.leased} leased, ${stage.ready} ready`);
  const total = stage.done + stage.leased + stage.ready;
  let x = 0;
  for (const kind of ["done", "leased", "ready"]) {
    const width = total ? (100 * stage[kind]) / total : 0;
    const rect = document.createElementNS(svg.namespaceURI, "rect");
    rect.setAttribute("class", kind);
    rect.setAttribute("x", `${x}%`);
    rect.setAttribute("width", `${width}%`);
    rect.setAttribute("height", "100%");
    svg.append(rect);
    x += width;
  }
  return svg;
}

function age(seconds) {
  if (seconds === null) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

function stageRow(name, stage) {
  const row = element("tr", "");
  const picture = element("td", "", "wide");
  picture.append(bar(stage));
  row.append(element("td", words(name)), picture);
  for (const key of ["ready", "leased", "done", "bounced"]) row.append(element("td", stage[key]));
  row.append(element("td", stage.blocked, stage.blocked ? "trouble" : ""));
  row.append(element("td", stage.stuck, stage.stuck ? "trouble" : ""), element("td", age(stage.oldest_ready_seconds)));
  return row;
}

async function showProgress() {
  const answer = await ask("GET", "/stats/progress");
  if (!answer.ok) return;
  byId("states").replaceChildren(
    ...Object.entries(answer.body.images).map(([state, count]) => {
      const item = element("li", words(state));
      item.prepend(element("b", count));
      return item;
    }),
  );
  byId("figures").replaceChildren(...STAGES.map((name) => stageRow(name, answer.body.stages[name])));
  const list = await ask("GET", "/stats/attention?limit=50");
  const items = list.ok ? list.body.items : [];
  const lines = items.map((item) => {
    const where = item.stage ? ` in ${words(item.stage)}` : "";
    const need = item.blocked_for?.length ? `, needs ${item.blocked_for.map(words).join(" or ")}` : "";
    return element("li", `Image ${item.image_id}: ${item.kind}${where}${need}`);
  });
  byId("attention").replaceChildren(...(lines.length ? lines : [element("li", "Nothing. All work goes on by itself.")]));
}

function showLeases(leases) {
  byId("leases").hidden = !leases.length;
  byId("leases").tBodies[0].replaceChildren(
    ...leases.map((lease) => {
      const row = element("tr", "");
      row.append(element("td", lease.task_id), element("td", words(lease.stage)));
      row.append(element("td", new Date(lease.expires_at).toLocaleTimeString()));
      return row;
    }),
  );
}

async function show() {
  const me = await ask("GET", "/me");
  const known = me.ok;
  byId("login").hidden = known;
  byId("logout").hidden = byId("who").hidden = !known;
  byId("mine").hidden = !known || me.body.grade === "admin";
  byId("progress").hidden = !known || me.body.grade !== "admin";
  if (!known) return;
  byId("who").textContent = `${me.body.username} (${words(me.body.grade)})`;
  byId("stages").textContent = me.body.stages.length
    ? `You may pull: ${me.body.stages.map(words).join(", ")}.`
    : "There is no stage for your grade.";
  showLeases(me.body.leases);
  if (me.body.grade === "admin") await showProgress();
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const answer = await ask("POST", "/login", Object.fromEntries(form));
  event.target.querySelector(".problem").textContent = answer.ok ? "" : answer.body.detail;
  if (answer.ok) await show();
});

byId("logout").addEventListener("click", async () => {
  await ask("POST", "/logout");
  await show();
});

await show();
setInterval(() => byId("login").hidden && !document.hidden && show(), REFRESH_MS);
