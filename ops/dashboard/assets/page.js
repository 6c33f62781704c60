// What the page's parts are made of.

/** element makes one with text, or other elements, in it. Nothing is ever parsed as HTML. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, '');
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter(child => child != null));
  return made;
}

/** size is a number of bytes for people. */
export function size(bytes) {
  let value = Number(bytes || 0);
  if (value < 1024) return `${value} B`;
  let unit = -1;
  while (value >= 1023.95 && unit < 5) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${'KMGTPE'[unit]}iB`;
}

/** note shows a line for a while; one that is a fault stays until it is clicked away. */
export function note(text, {bad = false, hint = ''} = {}) {
  const line = element('div', {class: bad ? 'note bad' : 'note'}, element('div', {}, element('p', {}, text), hint ? element('p', {class: 'hint'}, `hint: ${hint}`) : null));
  const close = element('button', {class: 'quiet small', 'aria-label': 'Close'}, '×');
  close.addEventListener('click', () => line.remove());
  line.append(close);
  document.getElementById('notes').append(line);
  if (!bad) setTimeout(() => line.remove(), 8000);
}

/** work shows the work on backups that goes on. */
export function work(all) {
  const only = location.pathname.match(/\/tables\/([^/]+)$/);
  const shown = only ? all.filter(p => p.table === only[1]) : all;
  document.getElementById('work')?.replaceChildren(...shown.map(p => {
    const total = Number(p.total || 0), label = `${p.what} ${p.table}`;
    const part = total ? Math.min(100, Math.floor(100 * Number(p.bytes || 0) / total)) : null;
    return element('div', {class: 'job'},
      element('span', {}, `${p.what} `, element('b', {}, p.table), p.backupId ? ` ${p.backupId}` : ''),
      part === null ? element('progress', {'aria-label': label}) : element('progress', {max: 100, value: part, 'aria-label': label}),
      element('span', {}, part === null ? size(p.bytes) : `${part} %`));
  }));
}

/** refresh replaces what the server would render otherwise by now, and keeps what is open and focused. */
export async function refresh() {
  const response = await fetch(location.href, {headers: {Accept: 'text/html'}});
  if (response.redirected) {
    location.reload();
    return;
  }
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  for (const old of document.querySelectorAll('[data-live]')) {
    const next = fresh.getElementById(old.id);
    if (!next) continue;
    for (const open of old.querySelectorAll('details[open]')) {
      next.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute('open', '');
    }
    for (const busy of old.querySelectorAll('button[disabled]')) {
      next.querySelector(`#${CSS.escape(busy.id)}`)?.setAttribute('disabled', '');
    }
    if (old.outerHTML === next.outerHTML) continue;
    const focused = old.contains(document.activeElement) && document.activeElement.id;
    old.replaceWith(document.adoptNode(next));
    if (focused) document.getElementById(focused)?.focus();
  }
  document.title = fresh.title;
}
