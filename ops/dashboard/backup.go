package dashboard

import (
	"context"
	"net/http"

	"github.com/gabiondb/gabion/messages"
)

// backupPage shows one backup: what it holds, what is known of it, and why it is kept.
type backupPage struct {
	*messages.BackupDetail
	// Red says why it must not be used; empty where nothing is known against it.
	Red  string
	Work []*messages.Progress
}

// Backup shows the backup that the wildcards {table} and {id} name.
func (d *Dashboard) Backup(w http.ResponseWriter, r *http.Request, v Viewer) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	table, id := r.PathValue("table"), r.PathValue("id")
	if err := messages.CheckTableName(table); err != nil {
		d.problemOf(w, err, v)
		return
	}
	detail, err := d.gabion.ShowBackup(ctx, table, id)
	if err != nil {
		d.problemOf(w, err, v)
		return
	}
	// The list says why it is kept, and what its removal would give back.
	if list, err := d.gabion.ListBackups(ctx, table); err == nil {
		for _, b := range list.GetBackups() {
			if b.GetBackupId() == detail.GetBackup().GetBackupId() {
				detail.Backup = b
			}
		}
	}
	page := backupPage{BackupDetail: detail, Red: detail.GetBackup().GetFault()}
	if proof := detail.GetBackup().GetProof(); page.Red == "" && proof.GetVerdict() == messages.Verdict_VERDICT_RED {
		page.Red = proof.GetReason()
	}
	for _, p := range d.gabion.Progress() {
		if p.GetTable() == table && p.GetBackupId() == detail.GetBackup().GetBackupId() {
			page.Work = append(page.Work, p)
		}
	}
	d.render(w, http.StatusOK, "backup", table+"/"+detail.GetBackup().GetBackupId(), v, page)
}
