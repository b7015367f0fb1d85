// Rooms, messages and errors of one connection.

import { Socket } from "./socket.js";

const element = (id) => document.getElementById(id);
let socket = null;
let room = null;

// Connect. `account.token()` returns the access token; `account.renew()` is called when it has
// ended.
export function open(account) {
  const auth = account && (() => ({ token: account.token() }));
  socket = new Socket(document.body.dataset.url || document.baseURI, auth);
  socket.on("connect", connected);
  socket.on("disconnect", (reconnects) => disconnected(reconnects, account));
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
  if (room) join(room); // rooms belong to a connection
}

function disconnected(reconnects, account) {
  showState(reconnects ? "Connection lost, reconnecting …" : "Disconnected");
  if (!reconnects) account?.renew();
}

function refused(reason, account) {
  showState("Refused");
  showError({ detail: reason.message });
  account?.renew();
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

async function sendMessage(text) {
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
  sendMessage(element("text").value);
});
