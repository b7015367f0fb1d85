// A small Socket.IO client for this page: protocol version 5, over WebSocket alone.
// https://socket.io/docs/v4/socket-io-protocol/ says what goes over the wire.

const LONGEST_WAIT = 10_000; // milliseconds between two attempts to connect
const ANSWER_WITHIN = 10_000; // milliseconds

export class Socket {
  #url;
  #auth;
  #listeners = {};
  #answers = new Map(); // number of an event → what takes its acknowledgement
  #sent = 0;
  #attempts = 0;
  #webSocket = null;
  #alive = null; // the timer that ends a connection without pings

  // `auth` gives what the server is told on connecting, anew for each attempt.
  constructor(url, auth = () => undefined) {
    const address = new URL("/socket.io/?EIO=4&transport=websocket", url || location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.#url = address;
    this.#auth = auth;
  }

  // Besides the server's events: connect, refused (why), disconnect (whether it connects again).
  on(event, listener) {
    this.#listeners[event] = listener;
  }

  connect() {
    const webSocket = new WebSocket(this.#url);
    this.#webSocket = webSocket;
    webSocket.onmessage = ({ data }) => this.#receive(data);
    webSocket.onclose = () => webSocket === this.#webSocket && this.#lost();
  }

  close() {
    const webSocket = this.#webSocket;
    this.#webSocket = null;
    clearTimeout(this.#alive);
    webSocket?.close();
  }

  // The server's acknowledgement; an error is a problem document with a `status`.
  emit(event, document) {
    return new Promise((resolve) => {
      const number = this.#sent++;
      const late = () => resolve({ status: 504, detail: "The server does not answer." });
      const timer = setTimeout(late, ANSWER_WITHIN);
      this.#answers.set(number, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#send(`42${number}${JSON.stringify([event, document])}`);
    });
  }

  #send(packet) {
    if (this.#webSocket?.readyState === WebSocket.OPEN) this.#webSocket.send(packet);
  }

  #receive(packet) {
    const [, type, number, data] = /^(4[0-4]|\d)(?:\/,)?(\d*)(.*)$/s.exec(packet);
    const content = data ? JSON.parse(data) : undefined;
    if (type === "0") this.#open(content);
    else if (type === "2") this.#pong();
    else if (type === "40") this.#connected();
    else if (type === "41") this.#ended();
    else if (type === "42") this.#tell(content[0], content[1]);
    else if (type === "43") this.#answered(Number(number), content[0]);
    else if (type === "44") this.#refused(content);
  }

  #open({ pingInterval, pingTimeout }) {
    this.pingWithin = pingInterval + pingTimeout;
    this.#watch();
    const auth = this.#auth();
    this.#send(auth ? `40${JSON.stringify(auth)}` : "40");
  }

  #pong() {
    this.#send("3");
    this.#watch();
  }

  #watch() {
    clearTimeout(this.#alive);
    this.#alive = setTimeout(() => this.#webSocket?.close(), this.pingWithin);
  }

  #connected() {
    this.#attempts = 0;
    this.#tell("connect");
  }

  #answered(number, document) {
    this.#answers.get(number)?.(document);
    this.#answers.delete(number);
  }

  #refused(reason) {
    this.close();
    this.#tell("refused", reason);
  }

  #ended() {
    this.close();
    this.#tell("disconnect", false);
  }

  #lost() {
    clearTimeout(this.#alive);
    this.#tell("disconnect", true);
    const wait = Math.min(LONGEST_WAIT, 500 * 2 ** this.#attempts++) * (0.5 + Math.random());
    setTimeout(() => this.#webSocket && this.connect(), wait);
  }

  #tell(event, content) {
    this.#listeners[event]?.(content);
  }
}
