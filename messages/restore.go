package messages

// Check returns what is wrong with the request, or nil.
func (m *VerifyBackup) Check() *Failure {
	var f faults
	for i, table := range m.GetTables() {
		if err := CheckTableName(table); err != nil {
			f.addf("table %d: %v", i, err)
		}
	}
	if m.GetBackupId() != "" && len(m.GetTables()) != 1 {
		f.addf("backup_id is one of a table, and %d tables are named", len(m.GetTables()))
	}
	if m.GetRunId() != "" && (len(m.GetTables()) > 0 || m.GetBackupId() != "") {
		f.addf("run_id names the backups, and so do tables or backup_id")
	}
	if m.GetAll() && (m.GetBackupId() != "" || m.GetRunId() != "") {
		f.addf("all is every backup, and backup_id or run_id names some")
	}
	if rate := m.GetBytesPerSecond(); rate > 0 && rate < MinRate {
		f.addf("bytes_per_second is %d, minimum is %d", rate, MinRate)
	}
	if failure := f.failure(); failure != nil {
		return failure.Advise("name one backup of one table, or a run, or tables with or without all")
	}
	return nil
}

// Check returns what is wrong with the request, or nil.
func (m *RestoreTable) Check() *Failure {
	var f faults
	if err := CheckTableName(m.GetTable()); err != nil {
		f.addf("%v", err)
	}
	sources := 0
	for _, named := range []bool{m.GetBackupId() != "", m.GetAt() != nil, m.GetUndo(), m.GetLive()} {
		if named {
			sources++
		}
	}
	if sources > 1 {
		f.addf("%d of backup_id, at, undo and live are set, and each of them names the source", sources)
	}
	if m.GetAt() != nil && !m.GetAt().IsValid() {
		f.addf("at is no time: %v", m.GetAt().CheckValid())
	}
	if m.GetRed() && m.GetBackupId() == "" {
		f.addf("red allows the backup that backup_id names, and none is named")
	}
	if failure := f.failure(); failure != nil {
		return failure.Advise("name the table, and at most one source")
	}
	return nil
}
