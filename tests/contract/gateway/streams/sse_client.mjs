// Follows a watch with npm's `eventsource` until the server ends it with 204, and prints each event as `id sequence`, then the connections.
// Arguments: the URL, the bearer token.
import { EventSource } from "eventsource";

let connections = 0;
const source = new EventSource(process.argv[2], {
  fetch: (url, init) => {
    connections += 1;
    return fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${process.argv[3]}` } });
  },
});
source.onmessage = (message) => console.log(message.lastEventId, JSON.parse(message.data).sequence);
source.onerror = () => {
  if (source.readyState !== EventSource.CLOSED) return; // it reconnects
  console.log("connections", connections);
  process.exit(0);
};
