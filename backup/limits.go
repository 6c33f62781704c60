package backup

// What a file of BACKUPDIR may have at most, in bytes. A longer one is not Gabion's writing, and is not read. See
// docs/format.md.
const (
	// manifestLimit bounds manifest.json: some 350,000 files.
	manifestLimit = 128 << 20
	// hashLimit bounds manifest.sha256, which has 81 bytes.
	hashLimit = 1 << 10
	// setLimit bounds sets/RUNID.json: some 100,000 tables.
	setLimit = 64 << 20
	// proofsLimit bounds all proofs of one backup: older proofs make room for newer ones.
	proofsLimit = 4 << 20
	// lastRunLimit bounds last_run.json, which has some 250 bytes.
	lastRunLimit = 4 << 10
	// pinLimit bounds one pin.
	pinLimit = 64 << 10
)
