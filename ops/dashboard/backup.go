package dashboard

import (
	"context"
	"net/http"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// backupPage shows one backup: what it holds, what is known of it, and why it is kept.
type backupPage struct {
	*messages.BackupDetail
	// Red says why it must not be used; empty where nothing is known against it.
	Red string
	// Ahead is set where the backup, or its proof, is dated in the future.
	Ahead bool
	// Served is set while the table has a page.
	Served bool
	Work   []*messages.Progress
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
	now, b := time.Now(), detail.GetBackup()
	page.Ahead = messages.AheadOf(b.GetFinished(), now) || messages.AheadOf(b.GetProof().GetFinished(), now)
	row, _ := d.rowOf(ctx, table)
	page.Served = row != nil
	for _, p := range d.gabion.Progress() {
		if p.GetTable() == table && p.GetBackupId() == detail.GetBackup().GetBackupId() {
			page.Work = append(page.Work, p)
		}
	}
	d.render(w, http.StatusOK, "backup", table+"/"+detail.GetBackup().GetBackupId(), v, page)
}
