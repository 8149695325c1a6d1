// Follows an event stream with EventSource, which connects anew by itself: `node follow.mjs URL` writes a line of
// JSON for each message, [id, text], and ends where the list begins anew.
import { EventSource } from 'eventsource';

const source = new EventSource(process.argv[2]);
source.addEventListener('message', (event) => {
  process.stdout.write(`${JSON.stringify([Number(event.lastEventId), JSON.parse(event.data)])}\n`);
});
source.addEventListener('at', (event) => {
  if (JSON.parse(event.data).reset) {
    console.error(`reset: ${event.data}`);
    process.exit(1);
  }
});
source.addEventListener('error', () => {
  if (source.readyState === EventSource.CLOSED) {
    console.error('EventSource has given up');
    process.exit(1);
  }
});
