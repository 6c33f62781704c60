// What keeps a page up to date.
import {act} from './actions.js';
import {charts} from './charts.js';
import {refresh, work} from './page.js';

const {root, page} = document.body.dataset;
const live = document.getElementById('live');

/** soon calls f a moment after it is asked to, once for all that asks until f is done, and once more for what asked meanwhile. */
function soon(f, wait) {
  let timer, again = false;
  const ask = () => {
    if (timer) {
      again = true;
      return;
    }
    timer = setTimeout(async () => {
      again = false;
      try {
        await f();
      } catch {
        // The next event tries again.
      }
      timer = undefined;
      if (again) ask();
    }, wait);
  };
  return ask;
}

if (page !== 'login' && page !== 'problem') {
  document.addEventListener('click', event => {
    const button = event.target.closest('[data-action]');
    if (button) act(button);
  });
  const anew = soon(refresh, 200), redraw = soon(charts, 1000);
  const state = (text, kind) => {
    live.textContent = text;
    live.className = `live ${kind}`;
  };
  let last = ''; // the id of the last event
  const listen = () => {
    const source = new EventSource(`${root}v1/events${last && `?after=${last}`}`);
    source.addEventListener('open', () => {
      state('live', 'on');
      anew(); // what happened before the stream began
      redraw();
    });
    source.addEventListener('error', () => {
      state('reconnecting…', 'off');
      // A browser comes back by itself, but not after an answer that is no stream, as a proxy's while the server is away.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    });
    source.addEventListener('Progress', event => work(JSON.parse(event.data)));
    for (const kind of ['BackupStarted', 'TableBackedUp', 'BackupComplete', 'TableStateChanged', 'BackupVerified', 'TableRestored', 'LossAcknowledged', 'Unknown']) {
      source.addEventListener(kind, event => {
        last = event.lastEventId;
        anew();
        if (kind === 'BackupComplete' || kind === 'TableRestored') redraw();
      });
    }
  };
  listen();
  setInterval(() => {
    if (!document.hidden) anew();
  }, 15000);
  setInterval(redraw, 600000);
  charts().catch(() => {});
}
