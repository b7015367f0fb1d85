// Logging in. The tokens stay in this page's memory; a reload asks for the password again.

import { close, open, showError } from "./chat.js";

const element = (id) => document.getElementById(id);
let tokens = null;

async function call(path, options) {
  const response = await fetch(`/api/v1/auth/${path}`, { method: "POST", ...options });
  const answer = response.status === 204 ? null : await response.json();
  showError(response.ok ? null : answer);
  return response.ok ? answer : null;
}

function send(path) {
  const body = JSON.stringify({ email: element("email").value, password: element("password").value });
  return call(path, { body, headers: { "Content-Type": "application/json" } });
}

function authorized(path, token) {
  return call(path, { headers: { Authorization: `Bearer ${token}` } });
}

function enter(answer) {
  tokens = answer;
  element("account").hidden = Boolean(tokens);
  element("logout").hidden = !tokens;
  if (tokens) open({ token: () => tokens.access_token, ended });
  else close();
}

// The access token has expired, or was revoked and cannot be renewed.
async function ended() {
  enter(tokens && (await authorized("refresh", tokens.refresh_token)));
}

element("account").addEventListener("submit", async (event) => {
  event.preventDefault();
  enter(await send("login"));
});

element("register").addEventListener("click", async () => {
  if (element("account").reportValidity() && (await send("register"))) enter(await send("login"));
});

element("logout").addEventListener("click", async () => {
  const { access_token } = tokens;
  enter(null);
  await authorized("logout", access_token);
});
