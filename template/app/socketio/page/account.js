// Log in and register. Tokens are kept in memory only, so reloading the page logs you out.

import { close, open, showError } from "./chat.js";

const element = (id) => document.getElementById(id);
let tokens = null;

async function call(path, options) {
  const url = new URL(`api/v1/auth/${path}`, document.baseURI);
  const response = await fetch(url, { method: "POST", ...options });
  const answer = response.status === 204 ? null : await response.json();
  showError(response.ok ? null : answer);
  return response.ok ? answer : null;
}

function callWithPassword(path) {
  const body = JSON.stringify({ email: element("email").value, password: element("password").value });
  return call(path, { body, headers: { "Content-Type": "application/json" } });
}

function callWithToken(path, token) {
  return call(path, { headers: { Authorization: `Bearer ${token}` } });
}

function show(newTokens) {
  tokens = newTokens;
  element("account").hidden = Boolean(tokens);
  element("logout").hidden = !tokens;
  if (tokens) open({ token: () => tokens.access_token, renew });
  else close();
}

// The access token has expired or was revoked.
async function renew() {
  show(tokens && (await callWithToken("refresh", tokens.refresh_token)));
}

element("account").addEventListener("submit", async (event) => {
  event.preventDefault();
  show(await callWithPassword("login"));
});

element("register").addEventListener("click", async () => {
  if (!element("account").reportValidity()) return;
  if (await callWithPassword("register")) show(await callWithPassword("login"));
});

element("logout").addEventListener("click", async () => {
  const { access_token } = tokens;
  show(null);
  await callWithToken("logout", access_token);
});
