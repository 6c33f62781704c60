package backup

// What the tests of package backup_test need of the inside.
const PebbleVersion = pebbleVersion
