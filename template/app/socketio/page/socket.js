// A small Socket.IO client: protocol version 5, over WebSocket only.
// https://socket.io/docs/v4/socket-io-protocol/

const MAX_RECONNECT_DELAY = 10_000; // milliseconds

export class Socket {
  #url;
  #auth;
  #listeners = {};
  #acks = new Map(); // id of an event → what receives its acknowledgement
  #nextId = 0;
  #attempts = 0;
  #webSocket = null;
  #timeout = null; // closes the connection when the server's pings stop
  #pingTimeout = 0; // milliseconds

  // `base` is the URL that socket.io/ is relative to. `auth` returns what to send when connecting.
  constructor(base, auth = () => undefined) {
    this.#url = new URL("socket.io/?EIO=4&transport=websocket", base);
    this.#url.protocol = this.#url.protocol.replace("http", "ws");
    this.#auth = auth;
  }

  // Besides the server's events there are connect, refused (with the reason) and disconnect (with
  // whether the socket reconnects).
  on(event, listener) {
    this.#listeners[event] = listener;
  }

  connect() {
    const webSocket = new WebSocket(this.#url);
    this.#webSocket = webSocket;
    webSocket.onmessage = ({ data }) => this.#receive(data);
    webSocket.onclose = () => webSocket === this.#webSocket && this.#reconnect();
  }

  close() {
    const webSocket = this.#webSocket;
    this.#webSocket = null;
    clearTimeout(this.#timeout);
    webSocket?.close();
  }

  // Resolves to the server's acknowledgement. An error has a `status`.
  emit(event, body) {
    return new Promise((resolve) => {
      const id = this.#nextId++;
      this.#acks.set(id, resolve);
      this.#send(`42${id}${JSON.stringify([event, body])}`);
    });
  }

  #send(packet) {
    if (this.#webSocket?.readyState === WebSocket.OPEN) this.#webSocket.send(packet);
  }

  #receive(packet) {
    const [, type, id, json] = /^(4[0-4]|\d)(?:\/,)?(\d*)(.*)$/s.exec(packet);
    const data = json ? JSON.parse(json) : undefined;
    if (type === "0") this.#open(data);
    else if (type === "2") this.#pong();
    else if (type === "40") this.#dispatch("connect");
    else if (type === "41") this.#end("disconnect", false);
    else if (type === "42") this.#dispatch(data[0], data[1]);
    else if (type === "43") this.#acknowledge(Number(id), data[0]);
    else if (type === "44") this.#end("refused", data);
  }

  #open({ pingInterval, pingTimeout }) {
    this.#attempts = 0;
    this.#pingTimeout = pingInterval + pingTimeout;
    this.#expectPing();
    const auth = this.#auth();
    this.#send(auth ? `40${JSON.stringify(auth)}` : "40");
  }

  #pong() {
    this.#send("3");
    this.#expectPing();
  }

  #expectPing() {
    clearTimeout(this.#timeout);
    this.#timeout = setTimeout(() => this.#webSocket?.close(), this.#pingTimeout);
  }

  #acknowledge(id, answer) {
    this.#acks.get(id)?.(answer);
    this.#acks.delete(id);
  }

  #end(event, data) {
    this.close();
    this.#dispatch(event, data);
  }

  #reconnect() {
    clearTimeout(this.#timeout);
    this.#dispatch("disconnect", true);
    const delay = Math.min(MAX_RECONNECT_DELAY, 500 * 2 ** this.#attempts++);
    setTimeout(() => this.#webSocket && this.connect(), delay * (0.5 + Math.random()));
  }

  #dispatch(event, data) {
    this.#listeners[event]?.(data);
  }
}
