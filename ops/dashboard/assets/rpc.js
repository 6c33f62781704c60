// Calls of GabionService by the Connect protocol (connectrpc.com/docs/protocol), with JSON.
const root = document.body.dataset.root;

/** Failed is an answer that is an error, with what a person can do about it. */
export class Failed extends Error {
  constructor(error) {
    super(error.message || error.code || 'the request failed');
    this.hint = (error.details || []).map(d => d.debug && d.debug.hint).filter(Boolean).join('; ');
  }
}

function request(method, type, body) {
  return fetch(`${root}gabion.v1.GabionService/${method}`, {
    method: 'POST', headers: {'Content-Type': type, 'Connect-Protocol-Version': '1'}, body,
  });
}

async function check(response) {
  if (response.ok) return;
  let error;
  try {
    error = await response.json();
  } catch {
    error = {message: `the server answered ${response.status}`};
  }
  throw new Failed(error);
}

/** call returns the one answer to a message. */
export async function call(method, message) {
  const response = await request(method, 'application/json', JSON.stringify(message));
  await check(response);
  return response.json();
}

/** stream yields the answers to a message as they come: each has a byte of flags and four of length before it. */
export async function* stream(method, message) {
  const body = new TextEncoder().encode(JSON.stringify(message));
  const envelope = new Uint8Array(5 + body.length);
  new DataView(envelope.buffer).setUint32(1, body.length);
  envelope.set(body, 5);
  const response = await request(method, 'application/connect+json', envelope);
  await check(response);
  const reader = response.body.getReader();
  let have = new Uint8Array(0);
  for (;;) {
    while (have.length >= 5) {
      const size = new DataView(have.buffer, have.byteOffset).getUint32(1);
      if (have.length < 5 + size) break;
      const answer = JSON.parse(new TextDecoder().decode(have.subarray(5, 5 + size)) || '{}');
      const end = have[0] & 2;
      have = have.subarray(5 + size);
      if (!end) {
        yield answer;
        continue;
      }
      if (answer.error) throw new Failed(answer.error);
      return;
    }
    const {done, value} = await reader.read();
    if (done) throw new Failed({message: 'the server went away; what it has begun goes on'});
    const more = new Uint8Array(have.length + value.length);
    more.set(have);
    more.set(value, have.length);
    have = more;
  }
}
