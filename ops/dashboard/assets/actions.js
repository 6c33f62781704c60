// What the buttons do.
import {call, stream} from './rpc.js';
import {element, note, refresh, size} from './page.js';

const dialog = document.getElementById('dialog');

const actions = {
  async backup({table}) {
    let set;
    for await (const {report} of stream('RunBackup', {tables: table ? [table] : [], label: 'dashboard'})) set = report?.set || set;
    const failed = (set.results || []).filter(r => r.outcome === 'OUTCOME_FAILED');
    for (const r of failed) note(`${r.table} is not backed up: ${r.failure?.message}`, {bad: true, hint: r.failure?.hint});
    if (!failed.length) note(table ? `${table} is backed up` : `${set.results.length} tables are backed up`);
  },

  async verify({table, backup}) {
    for await (const {result} of stream('VerifyBackup', {tables: table ? [table] : [], backupId: backup || ''})) {
      if (!result) continue;
      const name = `${result.table}/${result.backupId}`;
      if (result.failure) note(`${name} could not be verified: ${result.failure.message}`, {bad: true, hint: result.failure.hint});
      else if (result.proof?.verdict === 'VERDICT_PROVEN') note(`${name} is proven: ${result.proof.rows || 0} rows read back`);
      else note(`${name} is red: ${result.proof?.reason}`, {bad: true, hint: 'restore another one; the next run takes a new one'});
    }
  },

  async pin({table, backup}) {
    await call('PinBackup', {table, backupId: backup, reason: 'pinned on the dashboard'});
    note(`${table}/${backup} stays until it is unpinned`);
  },

  async unpin({table, backup}) {
    await call('PinBackup', {table, backupId: backup, unpin: true});
    note(`${table}/${backup} is no longer pinned`);
  },

  async acknowledge({loss, table}) {
    await call('AcknowledgeLoss', {ids: [loss], by: 'dashboard'});
    note(`the loss of ${table} is acknowledged: ${loss}`);
  },

  async restore({table, backup}) {
    let plan;
    for await (const {report} of stream('RestoreTable', {table, backupId: backup || '', dryRun: true})) {
      if (report) plan = report.plan;
    }
    if (await confirmed(plan)) await restore(plan);
  },
};

/** facts is a list of names and texts. */
function facts(pairs) {
  return element('dl', {class: 'facts'}, ...pairs.filter(([, text]) => text).map(([name, text]) =>
    element('div', {}, element('dt', {}, name), element('dd', {}, text))));
}

/** lost says which operations a restore takes back. */
function lost(plan) {
  if (!plan.serving) return 'not known: the table does not serve';
  if (plan.serving.lineage !== plan.position?.lineage) return 'not known: the table serves another lineage';
  const seqs = Number(plan.serving.seq || 0) - Number(plan.position?.seq || 0);
  return seqs > 0 ? seqs === 1 ? '1 operation' : `${seqs} operations` : 'nothing';
}

/** confirmed shows a plan, and asks for the table's name. */
function confirmed(plan) {
  const name = element('input', {id: 'confirm-name', autocomplete: 'off', spellcheck: 'false', required: true});
  const go = element('button', {id: 'confirm-restore', class: 'danger', disabled: true}, 'Restore');
  const stay = element('button', {id: 'cancel-restore', class: 'quiet', type: 'button'}, 'Cancel');
  const form = element('form', {method: 'dialog'},
    element('label', {}, `Type ${plan.table} to go on `, name), element('div', {class: 'actions'}, go, stay));
  name.addEventListener('input', () => { go.disabled = name.value !== plan.table; });
  dialog.replaceChildren(
    element('h2', {id: 'dialog-title'}, `Restore ${plan.table}`),
    element('p', {}, `The backup is copied and verified beside the table; then it takes its place. What the table holds now is kept as undo until ${
      plan.undoUntil ? new Date(plan.undoUntil).toLocaleString() : 'its life ends'}.`),
    facts([
      ['Backup', plan.backupId], ['Table as of', plan.cut && new Date(plan.cut).toLocaleString()], ['Rows', String(plan.rows || 0)],
      ['To copy', size(plan.bytes)], ['Proven', plan.proof?.verdict === 'VERDICT_PROVEN' ? new Date(plan.proof.finished).toLocaleString() : 'not yet: it is verified first'],
      ['Taken back', lost(plan)], ['Passed over', (plan.passedOver || []).join('; ')],
    ]), form);
  dialog.showModal();
  name.focus();
  return new Promise(resolve => {
    stay.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => resolve(false), {once: true});
    form.addEventListener('submit', event => {
      event.preventDefault();
      if (name.value === plan.table) resolve(true);
    });
  });
}

async function restore(plan) {
  const bar = element('progress', {max: 100, value: 0, 'aria-label': `restore ${plan.table}`});
  dialog.replaceChildren(element('h2', {id: 'dialog-title'}, `Restoring ${plan.table}`), bar,
    element('p', {}, 'It goes on when this page is closed.'));
  try {
    for await (const {progress, report} of stream('RestoreTable', {table: plan.table, backupId: plan.backupId})) {
      if (progress && Number(progress.total)) bar.value = 100 * Number(progress.bytes || 0) / Number(progress.total);
      if (report) note(`${plan.table} is restored from ${plan.backupId}`);
    }
  } finally {
    dialog.close();
  }
}

/** act does what a button says. The button is disabled meanwhile, also after a refresh has replaced it. */
export async function act(button) {
  const {action} = button.dataset;
  if (button.disabled || !actions[action]) return;
  button.disabled = true;
  try {
    await actions[action](button.dataset);
  } catch (error) {
    note(error.message, {bad: true, hint: error.hint});
  } finally {
    button.disabled = false;
    const now = document.getElementById(button.id);
    if (now) now.disabled = false;
    refresh();
  }
}
