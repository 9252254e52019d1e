"use strict";
const REASONS = ["moved or warped", "content added or removed", "not restored", "colour changed", "artefacts", "unsafe or private"];
const $ = (id) => document.getElementById(id);
let queue = [], shown = null, deciding = null, past = [];
const settled = new Set();
let zoom = { scale: 1, x: 0, y: 0 };

const stored = new URLSearchParams(location.search).get("reviewer") || localStorage.getItem("reviewer");
$("reviewer").value = stored || "reviewer";

async function call(path, body) {
  const headers = { "X-Mendline-Reviewer": encodeURIComponent($("reviewer").value) };
  const options = { headers };
  if (body !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  const response = await fetch(path, options);
  const content = await response.json();
  if (!response.ok) throw new Error(typeof content.detail === "string" ? content.detail : response.statusText);
  return content;
}

function filters() {
  return new URLSearchParams(["degradation", "teacher", "verdict", "least", "most"].map((id) => [id, $(id).value]));
}

// Pairs ahead are decoded to bitmaps: an <img> would be decoded again when it is first painted.
const AHEAD = 3;
const ready = new Map();
async function bitmap(id) {
  const response = await fetch("/image/" + id);
  if (!response.ok) throw new Error("The image " + id.slice(0, 12) + " cannot be read.");
  return createImageBitmap(await response.blob());
}
function decoded(pair) {
  if (!ready.has(pair.pair_id)) {
    const sides = Promise.all([bitmap(pair.degraded_id), bitmap(pair.clean_id)]);
    sides.catch(() => ready.delete(pair.pair_id));
    ready.set(pair.pair_id, sides);
    trim();
  }
  return ready.get(pair.pair_id);
}
// What is on the screen stays decoded until it is stored: without a server it could not come back.
function trim() {
  const wanted = new Set([shown, deciding, ...queue.slice(0, AHEAD)].map((pair) => pair && pair.pair_id));
  for (const key of [...ready.keys()]) if (ready.size > AHEAD + 2 && !wanted.has(key)) forget(key);
}
function forget(key) {
  const sides = ready.get(key);
  ready.delete(key);
  sides.then((both) => both.forEach((one) => one.close()), () => {});
}

// A key means the pair that is on the screen, never one that is still being loaded.
let visible = null;
// Whether both sides of it are on the screen.
let seen = false;
async function show(pair) {
  shown = pair;
  if (!pair) {
    visible = null;
    blank();
    $("facts").textContent = "";
    say("No pair is left for these filters.");
    return;
  }
  let sides;
  try {
    sides = await decoded(pair);
  } catch (error) {
    if (shown === pair) { visible = pair; seen = false; blank(); facts(pair); say(error.message); }
    return;
  }
  if (shown !== pair) return;
  zoom = { scale: 1, x: 0, y: 0 };
  place();
  ["before", "after"].forEach((id, side) => {
    const canvas = $(id);
    canvas.width = sides[side].width;
    canvas.height = sides[side].height;
    canvas.getContext("2d").drawImage(sides[side], 0, 0);
  });
  visible = pair;
  seen = true;
  document.body.dataset.pair = pair.pair_id;
  facts(pair);
  requestAnimationFrame(() => { if (visible === pair) document.body.dataset.ready = pair.pair_id; });
}

function blank() { for (const id of ["before", "after"]) $(id).width = $(id).height = 0; }

function facts(pair) {
  const number = (value) => (value === null ? "?" : value.toFixed(2));
  $("facts").textContent = `${pair.degradation}, severity ${number(pair.severity_degraded)} to ${number(pair.severity_clean)}, ` +
    `distance ${number(pair.consistency)}, shift ${number(pair.shift)} px, screening: ${pair.verdict} (${pair.reason}), ${pair.teacher}`;
}

async function refill() {
  // An answer may be older than the last decision.
  const asked = await call("/api/next?" + filters());
  queue = asked.filter((pair) => (!shown || pair.pair_id !== shown.pair_id) && !settled.has(pair.pair_id));
  queue.forEach((pair) => decoded(pair).catch(() => {}));
}

// The queue may be older than the last decision, or have the pair that is on the screen.
function take() {
  while (queue.length) {
    const next = queue.shift();
    if (!settled.has(next.pair_id) && !(shown && next.pair_id === shown.pair_id)) return next;
  }
  return null;
}

async function advance() {
  if (!queue.length) { shown = null; await refill(); }
  show(take());
  refill().catch((error) => say(error.message));
  progress();
}

async function progress() {
  const found = await call("/api/progress");
  $("progress").textContent = `you ${found.mine}, team ${found.team} of ${found.pairs}`;
  for (const [id, names] of [["degradation", found.degradations], ["teacher", found.teachers]]) {
    if ($(id).options.length === 1) for (const name of names) $(id).add(new Option(name));
  }
}

function say(text) { $("message").textContent = text; }

// Decisions are sent one after the other; one that was meant for a pair that is gone is dropped.
let last = Promise.resolve();
function decide(decision, reason) {
  if (decision === "accept" && visible && !seen) {
    say("What cannot be seen cannot be accepted: reject it, or be unsure.");
    return last;
  }
  const pair = visible;
  last = last.then(() => (pair && pair === shown ? settle(pair, decision, reason) : undefined));
  return last;
}

async function settle(pair, decision, reason) {
  // The next pair is shown while the server still writes.
  const sent = call("/api/decisions", { pair_id: pair.pair_id, decision, reason: reason || null });
  const next = take();
  deciding = pair;
  if (next) show(next);
  try {
    await sent;
  } catch (error) {
    if (next) queue.unshift(next);
    await show(pair);
    say("Not stored: " + error.message);
    return;
  } finally {
    deciding = null;
  }
  past.push(pair);
  settled.add(pair.pair_id);
  say(decision);
  if (!next) { await advance(); return; }
  refill().catch((error) => say(error.message));
  progress().catch((error) => say(error.message));
}

async function undo() {
  await last;  // the decision that is meant may still be on its way
  const { pair_id, mine } = await call("/api/undo", {});
  if (!pair_id) { say("Nothing to undo."); return; }
  // A changed decision that is taken back leaves the earlier one, which stands again.
  const undone = past.map((pair) => pair.pair_id).lastIndexOf(pair_id);
  past = past.filter((pair, at) => (mine ? at !== undone : pair.pair_id !== pair_id));
  if (!mine) settled.delete(pair_id);
  await again(await call("/api/pair/" + pair_id));
  say(mine ? "taken back, you said " + mine : "taken back");
  progress();
}

async function back() {
  await last;
  const pair = past.pop();
  if (!pair) { say("No earlier pair."); return; }
  const earlier = await call("/api/pair/" + pair.pair_id);
  await again(earlier);
  say(earlier.mine ? "you said " + earlier.mine : "");
}

// Show an earlier pair; the one that was on the screen comes after it.
function again(pair) {
  if (shown) queue.unshift(shown);
  return show(pair);
}

function cut(share) { $("stage").style.setProperty("--cut", (Math.min(1, Math.max(0, share)) * 100).toFixed(2) + "%"); }
function cutNow() { return parseFloat($("stage").style.getPropertyValue("--cut") || "50") / 100; }
function place() {
  const t = `translate(${zoom.x}px, ${zoom.y}px) scale(${zoom.scale})`;
  // Clipping is in the image's own space, so the cut is mapped back through the zoom.
  for (const id of ["before", "after"]) $(id).style.transform = t;
  const stage = $("stage").getBoundingClientRect();
  const inner = (cutNow() * stage.width - zoom.x) / zoom.scale;
  $("after").style.clipPath = `inset(0 0 0 ${inner}px)`;
}

// Both sides zoom together; the point (x, y) of the stage stays where it is.
function zoomAt(factor, x, y) {
  const scale = Math.min(16, Math.max(1, zoom.scale * factor));
  zoom.x = x - (x - zoom.x) * (scale / zoom.scale);
  zoom.y = y - (y - zoom.y) * (scale / zoom.scale);
  zoom.scale = scale;
  if (scale === 1) { zoom.x = 0; zoom.y = 0; }
  place();
}
function zoomMiddle(factor) {
  const box = $("stage").getBoundingClientRect();
  zoomAt(factor, box.width / 2, box.height / 2);
}
function pan(x, y) {
  if (zoom.scale === 1) return;
  zoom.x += x;
  zoom.y += y;
  place();
}

$("stage").addEventListener("pointermove", (event) => {
  const box = $("stage").getBoundingClientRect();
  if (event.buttons === 1 && zoom.scale > 1 && event.shiftKey) { zoom.x += event.movementX; zoom.y += event.movementY; }
  else if (event.buttons === 1) cut((event.clientX - box.left) / box.width);
  else return;
  place();
});
$("stage").addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = $("stage").getBoundingClientRect();
  zoomAt(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
window.addEventListener("resize", place);

REASONS.forEach((reason, index) => {
  const button = document.createElement("button");
  button.textContent = `${index + 1}  ${reason}`;
  button.value = reason;
  $("reasons").append(button);
});
$("why").addEventListener("close", () => { if ($("why").returnValue) decide("reject", $("why").returnValue); });
function reject() { if (visible) { $("why").returnValue = ""; $("why").showModal(); } }

const STEP = 60;
const PANS = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
const KEYS = { a: () => decide("accept"), r: reject, s: () => decide("unsure"), u: undo, b: back,
  "+": () => zoomMiddle(1.5), "=": () => zoomMiddle(1.5), "-": () => zoomMiddle(1 / 1.5), 0: () => zoomMiddle(0),
  ArrowLeft: () => { cut(cutNow() - 0.05); place(); }, ArrowRight: () => { cut(cutNow() + 0.05); place(); } };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;  // Caps Lock
  // A key that is held down decides once: the pairs behind would be judged unseen.
  if (event.repeat && !key.startsWith("Arrow") && !"+=-".includes(key)) return;
  if ($("why").open) {
    const reason = REASONS[Number(event.key) - 1];
    if (reason) { event.preventDefault(); $("why").close(reason); }
    return;
  }
  const action = event.shiftKey && PANS[key] ? () => pan(...PANS[key]) : KEYS[key];
  if (action) { event.preventDefault(); Promise.resolve(action()).catch((error) => say(error.message)); }
});
for (const [id, action] of Object.entries({ accept: KEYS.a, reject, unsure: KEYS.s, undo, back })) {
  $(id).addEventListener("click", () => Promise.resolve(action()).catch((error) => say(error.message)));
}
function restart() { localStorage.setItem("reviewer", $("reviewer").value); queue = []; past = []; settled.clear(); advance().catch((error) => say(error.message)); }
for (const id of ["reviewer", "degradation", "teacher", "verdict", "least", "most"]) $(id).addEventListener("change", restart);
cut(0.5);
restart();
