// What the page shows of a connection: rooms, messages and errors.

import { Socket } from "./socket.js";

const element = (id) => document.getElementById(id);
let socket = null;
let room = null;

// Connects. `account.token()` gives the access token; `account.ended()` is called when it is not
// good any more.
export function open(account) {
  const auth = account && (() => ({ token: account.token() }));
  socket = new Socket(document.body.dataset.url, auth);
  socket.on("connect", connected);
  socket.on("disconnect", (again) => disconnected(again, account));
  socket.on("refused", (reason) => refused(reason, account));
  socket.on("message", show);
  socket.on("error", (problem) => showError(problem));
  showState("Connecting …");
  socket.connect();
}

export function close() {
  socket?.close();
  room = null;
  element("messages").replaceChildren();
  showState("Not connected");
}

export function showError(problem) {
  const fields = (problem?.errors ?? []).map(({ field, detail }) => `${field}: ${detail}`);
  element("error").textContent = problem ? [problem.detail, ...fields].join(" ") : "";
  element("error").hidden = !problem;
}

function showState(text) {
  const connected = text === "Connected";
  element("state").textContent = text;
  element("rooms").hidden = !connected && !room;
  for (const id of ["text", "send"]) element(id).disabled = !connected || !room;
  element("enter").disabled = !connected;
}

function connected() {
  showError(null);
  showState("Connected");
  if (room) join(room); // the server has forgotten it
}

function disconnected(again, account) {
  showState(again ? "Connection lost, trying again …" : "Disconnected");
  if (!again) account?.ended();
}

function refused(reason, account) {
  showState("Refused");
  showError({ detail: reason.message });
  account?.ended();
}

async function join(name) {
  if (room && room !== name) await socket.emit("leave", { room });
  const answer = await socket.emit("join", { room: name });
  if (answer.status) return;
  showError(null);
  if (room !== name) element("messages").replaceChildren();
  room = name;
  showState("Connected");
  element("text").focus();
}

async function say(text) {
  const answer = await socket.emit("chat", { room, text });
  if (answer.status) return;
  showError(null);
  element("text").value = "";
}

function show({ sender, text, sent_at }) {
  const item = document.createElement("li");
  const note = document.createElement("small");
  note.textContent = `${new Date(sent_at).toLocaleTimeString()} ${sender} `;
  item.append(note, text);
  element("messages").append(item);
  item.scrollIntoView({ block: "nearest" });
}

element("join").addEventListener("submit", (event) => {
  event.preventDefault();
  join(element("room").value);
});

element("chat").addEventListener("submit", (event) => {
  event.preventDefault();
  say(element("text").value);
});
