package backup

// What a file of BACKUPDIR may have at most, in bytes. A longer one is not Gabion's writing, and is not read. See
// docs/format.md.
const (
	// manifestLimit is for manifest.json: some 350,000 files.
	manifestLimit = 128 << 20
	// hashLimit is for manifest.sha256, which has 81 bytes.
	hashLimit = 1 << 10
	// setLimit is for sets/RUNID.json: some 100,000 tables.
	setLimit = 64 << 20
	// proofsLimit is for all proofs of one backup: older ones go before they would be more.
	proofsLimit = 4 << 20
	// lastRunLimit is for last_run.json, which has some 250 bytes.
	lastRunLimit = 4 << 10
	// pinLimit is for one pin.
	pinLimit = 64 << 10
)
